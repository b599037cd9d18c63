"""Ways to bring rows from SQLite to ASAPP. Each module has `prepare(job)`, which returns what moves so many rows.

What `prepare` does is not measured. `move` reads the first rows of the database, sends them to the sink, and returns
when every one of them is answered.
"""

from __future__ import annotations

import requests

MANY = "/metadata-ingestion/v1/many-convo-metadata"
SINGLE = "/metadata-ingestion/v1/single-convo-metadata"
BATCH = 1000


def session() -> requests.Session:
    """Return a session that keeps its connection, and does not look for proxies: the fastest that requests has."""
    http = requests.Session()
    http.trust_env = False
    http.headers["Content-Type"] = "application/json"
    return http
