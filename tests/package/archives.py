"""A wheel and a source archive: how they are made, and what lies in them."""

from __future__ import annotations

import os
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.package.programs import run


@dataclass(frozen=True)
class Archives:
    """Both archives of one build."""

    wheel: Path
    sdist: Path

    def in_wheel(self) -> dict[str, bytes]:
        """Return the files of the wheel by name."""
        with zipfile.ZipFile(self.wheel) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def in_sdist(self) -> dict[str, bytes]:
        """Return the files of the source archive by name, without the folder that all are in."""
        with tarfile.open(self.sdist) as archive:
            files = [(member, archive.extractfile(member)) for member in archive.getmembers()]
            return {member.name.partition("/")[2]: file.read() for member, file in files if file}

    def unpack(self, folder: Path) -> Path:
        """Unpack the source archive into a folder; return the one in it that holds the files."""
        with tarfile.open(self.sdist) as archive:
            archive.extractall(folder, filter="data")
        return next(folder.iterdir())


def build(source: Path, target: Path) -> Archives:
    """Build both from the same folder; the wheel is not made from the source archive."""
    command = [sys.executable, "-m", "build", "--installer=uv", "--sdist", "--wheel", f"--outdir={target}", str(source)]
    target.mkdir()
    run(*command, cwd=target, env=dict(os.environ))
    return Archives(*target.glob("*.whl"), *target.glob("*.tar.gz"))


def tracked(repository: Path) -> dict[str, bytes]:
    """Return the files that git has or would take, by name: what a clone holds."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = run(*command, cwd=repository, env=dict(os.environ)).splitlines()
    return {name: (repository / name).read_bytes() for name in names if (repository / name).is_file()}
