"""How much memory a large result takes beyond a small one: `python -m tests.appetite ROWS {CONNECTION STATEMENT}...`.

In a process of its own, since an operating system tells the highest mark of a process and no later one. A statement has
`{rows}` where the number of rows belongs. The last line printed is JSON: the bytes, by connection.
"""

from __future__ import annotations

import json
import resource
import sys

from airflow_provider_asapp.sql import PAGE_ROWS, hook_of, stream


def read(conn_id: str, statement: str, rows: int) -> None:
    """Read a result to its end, keeping nothing."""
    got = sum(len(page.rows) for page in stream(hook_of(conn_id), statement.format(rows=rows), None))
    if got != rows:
        raise AssertionError(f"{got} rows instead of {rows}")


def highest() -> int:
    """Return the most bytes of memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(rows: int, *given: str) -> None:
    """Read every statement small, so that all there is to load is loaded, and then large."""
    queries = list(zip(given[::2], given[1::2], strict=True))
    for conn_id, statement in queries:
        read(conn_id, statement, 20 * PAGE_ROWS)
    growth = {}
    for conn_id, statement in queries:
        before = highest()
        read(conn_id, statement, rows)
        growth[conn_id] = highest() - before
    print(json.dumps(growth))  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
