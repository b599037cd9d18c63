"""Which Airflow the tests run on, and what that means for them."""

from __future__ import annotations

from importlib.metadata import version

import pytest

# Such as (3, 3).
AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
NEWEST = (3, 3)


def since(*first: int, why: str) -> pytest.MarkDecorator:
    """Mark what an older Airflow lacks; `pytest -rs` tells it."""
    return pytest.mark.skipif(first > AIRFLOW, reason=f"Airflow {first[0]}.{first[1]} and later: {why}")


def before(*first: int, why: str) -> pytest.MarkDecorator:
    """Mark what is otherwise from this Airflow on; `pytest -rs` tells it."""
    return pytest.mark.skipif(first <= AIRFLOW, reason=f"before Airflow {first[0]}.{first[1]}: {why}")


WITH_STORE = since(3, 3, why="a task state store, from which a retry goes on")
WITH_SDK = since(3, 2, why="what the sample DAGs import of airflow.sdk")
