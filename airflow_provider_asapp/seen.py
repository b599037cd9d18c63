"""What others see of a submission that has ended: the report in metrics, in the events of a task's assets, in XCom."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset, Stats

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

# Also the last part of the metrics' names: dashboards and alerts hang on them, so they must never change.
COUNTED = ("accepted", "already_persisted", "invalid", "refused", "requests")


def tell(report: Mapping[str, Any], *, context: Context, outlets: Iterable[Any]) -> None:
    """Tell a report to those who watch, whatever becomes of that: the records have been sent.

    :param report: of a submission, or of a rehearsal, of which metrics say nothing.
    :param context: of the task.
    :param outlets: of the task; the event of each asset among them will hold the report.
    """
    try:
        _count(report, context)
        _extend_events(report, context, outlets)
    except Exception as error:  # noqa: BLE001 - if this failed the task, its retry would send all records again
        log.warning("The counts could not be told to Airflow's metrics or assets: %s.", type(error).__name__)


def keep(report: Mapping[str, Any], context: Context) -> None:
    """Leave the report of a task that is about to fail where Airflow keeps what a task returns.

    :param report: of a submission, or of a rehearsal.
    :param context: of the task.
    """
    ti = context.get("ti")
    try:
        if ti is not None:
            ti.xcom_push("return_value", dict(report))
    except Exception as error:  # noqa: BLE001 - the task's own error must be told, not this one
        log.warning("The report could not be kept in XCom: %s.", type(error).__name__)


def _count(report: Mapping[str, Any], context: Context) -> None:
    ti = context.get("ti")
    tags = {"dag_id": ti.dag_id, "task_id": ti.task_id} if ti else {}
    for name in COUNTED if "accepted" in report else ():
        # The entity is part of the name, since plain statsd drops tags. A zero is sent too, or an alert has no series.
        Stats.incr(f"asapp.{report['entity']}.{name}", report[name], tags=tags)


def _extend_events(report: Mapping[str, Any], context: Context, outlets: Iterable[Any]) -> None:
    events: Any = context.get("outlet_events")
    for outlet in outlets:
        if events is not None and isinstance(outlet, Asset):
            events[outlet].extra.update(report)
