"""What is promised of the archives. Each function returns the promises that are broken, in words."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.message import Message

NAME = "airflow-provider-asapp"
PACKAGE = "airflow_provider_asapp"
# What the package holds beside Python.
DATA = {f"{PACKAGE}/py.typed", f"{PACKAGE}/simulator/contract.json"}
ENTRY_POINT = f"[apache_airflow_provider]\nprovider_info = {PACKAGE}.provider_info:get_provider_info\n"
CLASSIFIERS = {
    "Framework :: Apache Airflow",
    "Framework :: Apache Airflow :: Provider",
    "Intended Audience :: Developers",
    *(f"Programming Language :: Python :: {version}" for version in ("3", "3.11", "3.12", "3.13")),
    "Typing :: Typed",
}
FIELDS = (
    *("Summary", "Keywords", "License-Expression", "License-File"),
    *("Description-Content-Type", "Requires-Python", "Requires-Dist"),
)

Files = dict[str, bytes]


def broken_wheel(wheel: Files, clone: Files) -> list[str]:
    """The wheel holds the package as the clone has it, what describes it, and nothing else."""
    package = {name: text for name, text in clone.items() if name.startswith(f"{PACKAGE}/")}
    odd = {name for name in package if not name.endswith(".py")} ^ DATA
    described = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    info = next(name for name in wheel if name.endswith("/METADATA")).partition("/")[0]
    expected: dict[str, bytes | None] = {**package, **{f"{info}/{name}": None for name in described}}
    expected[f"{info}/licenses/LICENSE"] = clone["LICENSE"]
    expected[f"{info}/entry_points.txt"] = ENTRY_POINT.encode()
    pure = b"Root-Is-Purelib: true\nTag: py3-none-any\n" in wheel[f"{info}/WHEEL"]
    return [
        *differences("the wheel", wheel, expected),
        *(f"{name} is no Python and not known, or is missing" for name in sorted(odd)),
        *([] if pure else ["the wheel is not for every machine"]),
    ]


def broken_sdist(sdist: Files, clone: Files) -> list[str]:
    """The source archive holds all of the clone but what tells a server how to test it."""
    belongs = {name: text for name, text in clone.items() if not name.startswith(".ci/")}
    return differences("the source archive", sdist, {**belongs, "PKG-INFO": None})


def differences(where: str, found: Files, expected: dict[str, bytes] | dict[str, bytes | None]) -> list[str]:
    """Return which files are too many, missing or changed; None stands for any content."""
    changed = [name for name, text in expected.items() if text is not None and found.get(name, text) != text]
    return [
        *(f"{where} holds {name}, which does not belong there" for name in sorted(found.keys() - expected.keys())),
        *(f"{where} lacks {name}" for name in sorted(expected.keys() - found.keys())),
        *(f"in {where} {name} is another than in the clone" for name in sorted(changed)),
    ]


def metadata(wheel: Files) -> Message:
    """Return what the wheel says of itself."""
    return message_from_bytes(next(text for name, text in wheel.items() if name.endswith(".dist-info/METADATA")))


def broken_metadata(wheel: Files, clone: Files) -> list[str]:
    """The metadata is complete, and agrees with the changelog and with itself."""
    says = metadata(wheel)
    newest = newest_in(clone["CHANGELOG.md"].decode())
    classifiers = set(says.get_all("Classifier", []))
    return [
        *(f"the metadata has no {field}" for field in FIELDS if not says[field]),
        *(f"the classifier {name} is missing" for name in sorted(CLASSIFIERS - classifiers)),
        *([] if says["Name"] == NAME else [f"it is called {says['Name']}"]),
        *([] if says["Version"] == newest else [f"the version is {says['Version']}, in the changelog {newest}"]),
    ]


def newest_in(changelog: str) -> str:
    """Return the version of the newest entry."""
    found = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    return found[1] if found else "missing"


def not_reproduced(first: Files, second: Files) -> list[str]:
    """What a build from the unpacked source archive makes is what the first build made, to the byte."""
    return [f"built again, {name} is another" for name in sorted(first) if first[name] != second.get(name)]
