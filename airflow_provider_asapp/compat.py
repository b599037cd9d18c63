"""What differs between the Airflow versions that are supported, each part with the versions it goes with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow import __version__ as airflow_version

from airflow_provider_asapp.provider_info import CONN_FIELDS, UI_FIELD_BEHAVIOUR

# SQLAlchemy 1.4, which goes with Airflow 2.11, would else keep what a statement that is no query changed.
NO_AUTOCOMMIT = {"autocommit": False}


def date_time_trigger() -> type[Any]:
    """Return the trigger that fires at a moment."""
    try:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger
    except ImportError:  # Airflow 2.11, where the standard provider may be missing
        from airflow.triggers.temporal import DateTimeTrigger  # type: ignore[no-redef, import-not-found, unused-ignore]
    return DateTimeTrigger


def end_of_deferral(operator: Any, ti: Any) -> datetime | None:
    """Return when Airflow ends a task although it is deferred, None if it lets it sleep.

    :param operator: whose ``execution_timeout`` may apply.
    :param ti: the task instance, None outside of a run.
    """
    # Airflow 2.11; since 3.0 the time does not run while a task is deferred.
    start: datetime | None = getattr(ti, "start_date", None) if airflow_version.startswith("2.") else None
    return start + operator.execution_timeout if start and operator.execution_timeout else None


def bucket_of(place: Any) -> str:
    """Return the bucket of an ObjectStoragePath: Airflow 2.11 to 3.1 leave the connection in front of it."""
    return str(place.bucket).rpartition("@")[2]


def ui_field_behaviour() -> dict[str, Any]:
    """Return how the form shows Airflow's own fields: Airflow 2.11 to 3.1, later ones read the provider info."""
    return {name.replace("-", "_"): value for name, value in UI_FIELD_BEHAVIOUR.items()}


def connection_form_widgets() -> dict[str, Any]:
    """Return the form's extra fields: Airflow 2.11 to 3.1, later ones read the provider info."""
    return {name: _widget(field) for name, field in CONN_FIELDS.items()}


def _widget(field: dict[str, Any]) -> Any:
    # Imported by these very names: Airflow 3.1 puts its own in their place, and may have no other.
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget  # type: ignore[import-not-found, unused-ignore]
    from wtforms import BooleanField, IntegerField, StringField  # type: ignore[import-untyped, unused-ignore]
    from wtforms.validators import NumberRange, Optional  # type: ignore[import-untyped, unused-ignore]

    schema, told = field["schema"], {"label": field["label"], "description": field["description"]}
    if "boolean" in schema["type"]:
        return BooleanField(**told)
    # Each type's form has all fields of all types in 2.11: without Optional no connection at all could be saved.
    if "integer" in schema["type"]:
        checks = [Optional(), NumberRange(schema["minimum"], schema["maximum"])]
        return IntegerField(**told, validators=checks, widget=BS3TextFieldWidget())
    return StringField(**told, validators=[Optional()], widget=BS3TextFieldWidget())
