"""Where and of what something was measured."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def machine() -> str:
    """Return processor, cores and memory in words."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{processor()}, {os.cpu_count()} cores, {gib:.0f} GiB of memory, {platform.system()}"


def processor() -> str:
    """Return the processor's name for itself."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def commit() -> str:
    """Return the commit that was measured, and whether what was measured had been changed since."""
    name = git("rev-parse", "--short=10", "HEAD")
    changed = git("status", "--porcelain", "--", "airflow_provider_asapp", "benchmarks", "pyproject.toml")
    return f"{name or 'unknown'}{', and changes since' if changed else ''}"


def git(*words: str) -> str:
    """Return what git says, nothing where there is no git."""
    command = ["git", *words]
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
