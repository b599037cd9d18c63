"""What all tests share: an Airflow of their own, set up before anything imports it."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from airflow_provider_asapp.simulator import Simulator
from tests.bench import Bench
from tests.clocks import FakeClock
from tests.versions import AIRFLOW, NEWEST

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG

_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-", ignore_cleanup_errors=True)

# The machine's own Airflow must neither help nor disturb, nor may a proxy.
for _name in [name for name in os.environ if name.startswith("AIRFLOW_") or name.lower().endswith("_proxy")]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parents[1] / "dags_examples"),
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "airflow.task=INFO,airflow_provider_asapp=INFO",
}

settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")


def pytest_configure(config: pytest.Config) -> None:
    """Let an old Airflow and its friends warn of each other: only what our code causes is an error there."""
    if AIRFLOW < NEWEST:
        for kind in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning"):
            config.addinivalue_line("filterwarnings", f"ignore::{kind}:(?!airflow_provider_asapp|tests|test_)")


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Make Airflow's own database, once: a real `dag.test()` needs it."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give a way to define an Airflow connection in the environment: as JSON, or as a URI."""

    def define(conn_id: str, uri: str | None = None, **parts: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", uri or json.dumps(parts))

    return define


@pytest.fixture
def asapp(connect: Callable[..., None]) -> Iterator[Simulator]:
    """Run a simulator that the connection `asapp_default` leads to."""
    with Simulator() as simulator:
        keys = {"login": simulator.api_id, "password": simulator.api_secret}
        connect("asapp_default", conn_type="asapp", host=simulator.url, **keys)
        yield simulator


@pytest.fixture
def dag(airflow_db: None, request: pytest.FixtureRequest) -> DAG:
    """Give an empty DAG with the name of the test."""
    from airflow.providers.common.compat.sdk import DAG

    return DAG(re.sub(r"\W+", "_", request.node.name), schedule=None)


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the waits of every client be over at once."""
    monkeypatch.setattr("airflow_provider_asapp.client.Clock", FakeClock)


@pytest.fixture(scope="session")
def bench_asapp() -> Iterator[tuple[Simulator, list[FakeClock]]]:
    """Run a simulator for many tests, and give the list whose last clock is the one that it goes by."""
    clocks = [FakeClock()]
    with Simulator(
        clock=lambda: clocks[-1].now().timestamp(), sleep=lambda _: None, requests_per_second=None
    ) as simulator:
        yield simulator, clocks


@pytest.fixture
def bench(bench_asapp: tuple[Simulator, list[FakeClock]], tmp_path: Path) -> Bench:
    """Give a bench with a clock and a folder of its own, and a simulator that has seen nothing yet."""
    simulator, clocks = bench_asapp
    simulator.reset()
    clocks.append(FakeClock())
    return Bench(simulator, clocks[-1], tmp_path / "rejects")
