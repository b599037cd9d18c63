"""Programs beside the demo: none outlives it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextmanager
def running(
    *arguments: str, output: int | IO[str] = subprocess.PIPE, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m arguments` until it ends or the block is left; `output` takes all that it prints.

    In a session of its own: Ctrl-C reaches the demo alone, which then ends it here.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env=env,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen[str]) -> None:
    """End a process and its children: politely, after five seconds by force."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue


def leave_on_sigterm() -> None:
    """Make SIGTERM end the demo as Ctrl-C does, through every `finally`."""

    def leave(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
