"""Where a task keeps its checkpoint: Airflow's task state store, or what older Airflows have instead."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_asapp.checkpoint import KEY

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)


class TaskStateStore:
    """Airflow 3.3 and later: survives retries, kills of the worker and deferrals.

    :param store: what Airflow puts into the context.
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    def get(self, key: str, default: Any = None) -> Any:
        """Return what is kept under a key."""
        return self._store.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Keep a JSON value."""
        self._store.set(key, value)

    def delete(self, key: str) -> None:
        """Forget a key."""
        self._store.delete(key)

    def keep_over_deferral(self) -> None:
        """Do nothing: it is kept anyway."""


class XComStore:
    """Before Airflow 3.3: lasts for one try, and over a deferral in an XCom. A retry finds nothing.

    :param ti: the task instance, None outside of a run.
    """

    def __init__(self, ti: Any) -> None:
        self._ti = ti
        self._values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """Return what is kept under a key, by this try or before its deferral."""
        if key not in self._values and self._ti is not None:
            self._values[key] = self._ti.xcom_pull(task_ids=self._ti.task_id, key=key, map_indexes=self._ti.map_index)
        value = self._values.get(key)
        return default if value is None else value

    def set(self, key: str, value: Any) -> None:
        """Keep a JSON value for this try."""
        self._values[key] = value

    def delete(self, key: str) -> None:
        """Forget a key."""
        self._values[key] = None

    def keep_over_deferral(self) -> None:
        """Push what is kept, for the time after the deferral."""
        if self._ti is not None:
            self._ti.xcom_push(key=KEY, value=self._values.get(KEY))


Store = TaskStateStore | XComStore


def store_of(context: Context) -> Store:
    """Return the store of a task, and say in the log what a retry will find."""
    store = context.get("task_state_store")
    if store is not None:
        log.info("Checkpoint: in Airflow's task state store; a retry goes on from there.")
        return TaskStateStore(store)
    log.info("Checkpoint: none over retries, since this Airflow has no task state store (3.3); a retry starts over.")
    return XComStore(context.get("ti"))
