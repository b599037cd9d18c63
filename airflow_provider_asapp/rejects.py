"""Where rejected records go: JSON lines in a folder of their own, on any storage with paths.

They hold whole records, since a person must be able to mend and replay them: treat the folder as personal data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import IO, Any, Literal, Protocol

from airflow_provider_asapp.coercion import is_absent, whole_number


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that is not at ASAPP, and why.

    :param position: of the record in its source, counted from 1.
    :param key: external id of the conversation or agent if it is a valid one; the one value that logs may show.
    :param stage: ``invalid``: our validation, it was not sent; ``refused``: ASAPP's answer.
    :param errors: rules broken, by field.
    :param record: the record as its source gave it.
    """

    position: int
    key: str | None
    stage: Literal["invalid", "refused"]
    errors: Mapping[str, list[str]]
    record: Any = field(repr=False)

    @property
    def proof(self) -> str:
        """What differs where the source does."""
        return json.dumps([self.position, self.errors], sort_keys=True)


class Folder(Protocol):
    """The part of ``pathlib.Path`` and Airflow's ``ObjectStoragePath`` that is used."""

    def __truediv__(self, name: str) -> Folder: ...
    def mkdir(self, *, parents: bool, exist_ok: bool) -> None: ...  # noqa: D102
    def open(self, mode: str) -> IO[Any]: ...  # noqa: D102
    def exists(self) -> bool: ...  # noqa: D102
    def iterdir(self) -> Iterable[Folder]: ...  # noqa: D102
    def unlink(self) -> None: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102


class RejectsFolder:
    """The rejects of one task of one run.

    :param folder: belongs to this task alone: what lies there from an earlier try is replaced.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.written = 0

    def clear(self, after: int = 0) -> None:
        """Delete what an earlier try of the same task left beyond a confirmed prefix of the source.

        :param after: position of the last record of that prefix; 0 deletes all.
        """
        if not self.folder.exists():
            return
        for path in list(self.folder.iterdir()):
            first, _, ending = path.name.partition(".")
            if ending == "jsonl" and first.isdecimal() and int(first) > after:
                path.unlink()

    def write(self, first: int, rejections: Iterable[Rejection]) -> None:
        """Write the rejects of one stretch of the source as one object.

        :param first: position of the first record of the stretch; names the object, so that writing again replaces.
        """
        lines = [_line(rejection) for rejection in rejections]
        if not lines:
            return
        if not self.written:
            self.folder.mkdir(parents=True, exist_ok=True)
        # One write of the whole: an object store shows all of it or none.
        with (self.folder / f"{first:012d}.jsonl").open("wb") as file:
            file.write("".join(lines).encode())
        self.written += len(lines)


def _line(rejection: Rejection) -> str:
    value = {
        "position": rejection.position,
        "key": rejection.key,
        "stage": rejection.stage,
        "errors": rejection.errors,
        "record": plain(rejection.record),
    }
    return json.dumps(value, ensure_ascii=True) + "\n"


def plain(value: Any) -> Any:
    """Return the value as JSON can hold it, so that a replay of it means the same.

    Of a Decimal that is a whole number this is the integer, so the zeros behind its point are lost.
    """
    try:
        return _plain(value)
    except RecursionError:
        return "<nested too deeply to be written>"


def _plain(value: Any) -> Any:
    if value is None or type(value) is str:  # As most values are: the tests for the others take microseconds.
        return value
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist") and not isinstance(value, type | memoryview):
        return _plain(value.tolist())
    if is_absent(value):
        return None
    return value if isinstance(value, bool | str) else _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal) and not value.is_finite():
        return None
    whole = whole_number(value)
    if whole is not None:
        return whole
    return hex(value) if isinstance(value, int) else str(value)  # of a very long int str() would fail
