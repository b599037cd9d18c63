"""What Airflow reads about this package, checked by Airflow's own schemas and by the manager that reads it."""

from __future__ import annotations

import json
from importlib.metadata import entry_points, version
from pathlib import Path
from pkgutil import resolve_name
from types import FunctionType, ModuleType
from typing import Any

import airflow
import jsonschema
import pytest

from airflow_provider_asapp.client import AsappClient
from airflow_provider_asapp.hooks import AsappHook
from airflow_provider_asapp.provider_info import CONN_FIELDS, UI_FIELD_BEHAVIOUR, get_provider_info
from tests.versions import since


@pytest.mark.parametrize(
    "name",
    [
        "provider_info.schema.json",
        pytest.param("provider.yaml.schema.json", marks=since(3, 2, why="a schema that knows conn-fields")),
    ],
)
def test_valid_by_airflows_schemas(name: str) -> None:
    """The info is valid by the lenient schema of run time, and by the strict one that refuses typos."""
    schema = json.loads((Path(airflow.__file__).parent / name).read_text())
    jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker()).validate(get_provider_info())


def test_found_by_its_entry_point() -> None:
    """The installed package leads Airflow to this info, under a name without which no provider loads at all."""
    (point,) = (
        p for p in entry_points(group="apache_airflow_provider") if p.value.startswith("airflow_provider_asapp")
    )
    info = point.load()()
    assert info == get_provider_info()
    assert info["package-name"] == "airflow-provider-asapp"
    assert info["versions"] == [version("airflow-provider-asapp")]


def named(value: Any) -> list[str]:
    """Return every dotted name of this package in the info."""
    if isinstance(value, dict | list):
        return [name for inner in (value.values() if isinstance(value, dict) else value) for name in named(inner)]
    return [value] if isinstance(value, str) and value.startswith("airflow_provider_asapp") else []


def test_every_name_imports() -> None:
    """Each dotted name in the info is a module, or a class or function in one."""
    names = named(get_provider_info())
    assert {"airflow_provider_asapp.hooks.AsappHook", "airflow_provider_asapp.assets.sanitize_uri"} <= set(names)
    for name in names:
        assert isinstance(resolve_name(name), ModuleType | type | FunctionType)


def test_connection_type_is_listed() -> None:
    """Airflow's manager knows the connection type: what `airflow providers hooks` lists."""
    try:
        from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime as ProvidersManager
    except ImportError:  # before Airflow 3.2
        from airflow.providers_manager import ProvidersManager

    info = ProvidersManager().hooks["asapp"]
    assert info is not None
    assert info.hook_class_name == "airflow_provider_asapp.hooks.AsappHook"
    assert info.hook_name == AsappHook.hook_name == "ASAPP"
    assert info.package_name == "airflow-provider-asapp"
    assert info.connection_id_attribute_name == AsappHook.conn_name_attr


def test_form_is_what_the_hook_reads(connect: Any, mocker: Any) -> None:
    """Each extra of the form reaches the client, and none has a default, which the form would save for ever."""
    made = mocker.patch("airflow_provider_asapp.connections.AsappClient", wraps=AsappClient)
    values = {"timeout": 7, "requests_per_second": 8, "ca_bundle": None, "allow_plain_http": True}
    assert set(CONN_FIELDS) == set(values)
    connect("asapp_default", conn_type="asapp", login="id-of-a-form", password="key-of-a-form", extra=values)
    AsappHook().get_conn()
    assert {name: made.call_args.kwargs[name] for name in values} == values
    assert not any("default" in field["schema"] or "value" in field for field in CONN_FIELDS.values())
    assert all("null" in field["schema"]["type"] for field in CONN_FIELDS.values())


def test_form_shows_the_port() -> None:
    """The port stays visible: some Airflows can't test a connection without one."""
    assert "port" not in UI_FIELD_BEHAVIOUR["hidden-fields"]
