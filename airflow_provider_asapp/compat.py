"""What differs between the Airflow versions that are supported, each line with the version it goes with."""

from __future__ import annotations

from typing import Any


def date_time_trigger() -> type[Any]:
    """Return the trigger that fires at a moment."""
    try:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger
    except ImportError:  # Airflow 2.11, where the standard provider may be missing
        from airflow.triggers.temporal import DateTimeTrigger  # type: ignore[no-redef, import-not-found, unused-ignore]
    return DateTimeTrigger
