"""Programs that must succeed, and virtual environments to run them in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def run(*command: str, cwd: Path, env: Mapping[str, str]) -> str:
    """Return what a program prints.

    :raises SystemExit: it failed; the text is all that it said.
    """
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Venv:
    """An empty virtual environment, and beside it an empty folder to start programs in.

    :param folder: where both will be.
    """

    def __init__(self, folder: Path) -> None:
        self._bin = folder / "venv" / "bin"
        self._empty = folder / "empty"
        self._env = environment(folder, self._bin)
        self._empty.mkdir(parents=True)
        self._uv("venv", f"--python={sys.executable}", str(folder / "venv"))

    def install(self, *what: str, cwd: Path | None = None) -> None:
        """Install with all that it needs, and see that no requirement contradicts another."""
        python = f"--python={self._bin / 'python'}"
        self._uv("pip", "install", python, *what, cwd=cwd)
        self._uv("pip", "check", python)

    def _uv(self, *arguments: str, cwd: Path | None = None) -> None:
        run(sys.executable, "-m", "uv", "--quiet", *arguments, cwd=cwd or self._empty, env=self._env)

    def run(self, program: str, *arguments: str) -> str:
        """Return what a program of the environment prints, away from any source."""
        return run(str(self._bin / program), *arguments, cwd=self._empty, env=self._env)

    def airflow(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the rows that an `airflow` command shows."""
        found: list[dict[str, Any]] = json.loads(self.run("airflow", *arguments, "--output=json"))
        return found

    def succeeds(self, *arguments: str, cwd: Path) -> bool:
        """Tell whether `python` with these arguments ends well in a folder; it prints where we print."""
        return not subprocess.run([self._bin / "python", *arguments], cwd=cwd, env=self._env, check=False).returncode


def environment(folder: Path, programs: Path) -> dict[str, str]:
    """Return the machine's environment without what belongs to another Airflow or another Python."""
    alien = ("AIRFLOW_", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(alien)} | {
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    }
