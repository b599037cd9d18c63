"""Builds the package as for PyPI and tests what people would get, with the source out of reach.

`python -m tests.package` runs the whole suite against the installed wheel; with names of tests behind it, just these.
In a temporary folder:

1. Wheel and source archive are built from this clone, then once more from the unpacked source archive; the bytes must
   be the same. So what is shown of one wheel holds for the other.
2. Their files and metadata are compared with what git has.
3. Each is installed into an empty environment, where Airflow must find the provider, and the simulator start.
4. In the wheel's, the tests of the source archive run in a folder that holds no package to import.

Ends with 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.package import promises
from tests.package.archives import Archives, build, tracked
from tests.package.programs import Venv, run

REPOSITORY = Path(__file__).parents[2]


def built(folder: Path) -> tuple[Archives, Path, list[str]]:
    """Build twice; return the archives, the unpacked source, and which promises they break."""
    first = build(REPOSITORY, folder / "first")
    source = first.unpack(folder / "source")
    again = build(source, folder / "again")
    say(f"Built {first.wheel.name} ({size(first.wheel)}) and {first.sdist.name} ({size(first.sdist)}), twice.")
    return first, source, [*broken_archives(first), *promises.not_reproduced(bytes_of(first), bytes_of(again))]


def broken_archives(archives: Archives) -> list[str]:
    """Return which promises the files of the archives break."""
    wheel, sdist, clone = archives.in_wheel(), archives.in_sdist(), tracked(REPOSITORY)
    # It must render as the project's page, too.
    paths = [str(archives.wheel), str(archives.sdist)]
    run(sys.executable, "-m", "twine", "check", "--strict", *paths, cwd=REPOSITORY, env=dict(os.environ))
    say(f"In the wheel {len(wheel)} files:")
    for name in sorted(wheel):
        say(f"  {name}")
    say(f"In the source archive {len(sdist)} files; in the clone {len(clone)}.")
    return [
        *promises.broken_wheel(wheel, clone),
        *promises.broken_sdist(sdist, clone),
        *promises.broken_metadata(wheel, clone),
    ]


def bytes_of(archives: Archives) -> dict[str, bytes]:
    """Return both archives by name."""
    return {path.name: path.read_bytes() for path in (archives.wheel, archives.sdist)}


def size(path: Path) -> str:
    """Return the size of a file in words."""
    return f"{path.stat().st_size / 1024:,.0f} KiB"


def broken_installation(venv: Venv, version: str) -> list[str]:
    """Return which promises an installation breaks, with nothing near but what was installed."""
    code = "from importlib.metadata import version as v; import airflow_provider_asapp as p; print(v({!r}), p.__file__)"
    found, _, path = venv.run("python", "-c", code.format(promises.NAME)).strip().partition(" ")
    listed = [row["version"] for row in venv.airflow("providers", "list") if row["package_name"] == promises.NAME]
    # Fails if Airflow does not know it.
    venv.run("airflow", "providers", "get", promises.NAME)
    usage = venv.run("python", "-m", f"{promises.PACKAGE}.simulator", "--help")
    return [
        *([] if found == version else [f"installed is {found} instead of {version}"]),
        *([] if "site-packages" in path else [f"the package is imported from {path}"]),
        *([] if listed == [version] else [f"`airflow providers list` shows the versions {listed}"]),
        *([] if "--port" in usage else ["the simulator does not explain itself"]),
    ]


def installed(folder: Path, archive: Path, version: str) -> tuple[Venv, list[str]]:
    """Install an archive into an empty environment; return that, and which promises are broken."""
    began = time.monotonic()
    venv = Venv(folder)
    venv.install(str(archive))
    problems = broken_installation(venv, version)
    say(f"Installed {archive.name} and asked Airflow and the simulator in {time.monotonic() - began:.0f} s.")
    return venv, [f"{archive.name}: {text}" for text in problems]


def broken_suite(venv: Venv, source: Path, selection: list[str]) -> list[str]:
    """Return whether tests fail that know only the installed package."""
    shutil.rmtree(source / promises.PACKAGE)
    venv.install("--group=test", cwd=source)
    say(f"The tests, against the wheel: {' '.join(selection) or 'all of them'}")
    passed = venv.succeeds("-m", "pytest", *selection, cwd=source)
    return [] if passed else ["tests fail against the installed wheel"]


def problems_in(folder: Path, selection: list[str]) -> list[str]:
    """Return all broken promises; what can't be trusted any more is not tried."""
    archives, source, problems = built(folder)
    if problems:
        return problems
    version = str(promises.metadata(archives.in_wheel())["Version"])
    _, of_sdist = installed(folder / "from-sdist", archives.sdist, version)
    venv, of_wheel = installed(folder / "from-wheel", archives.wheel, version)
    return of_sdist + of_wheel or broken_suite(venv, source, selection)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run it all and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.package")
    parser.add_argument("selection", nargs="*", help="the tests to run against the wheel; default: all")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="asapp-package-") as folder:
        problems = problems_in(Path(folder), given.selection)
    for text in problems:
        say(f"BROKEN: {text}")
    say(f"{len(problems)} promises broken, in {time.monotonic() - began:.0f} s.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
