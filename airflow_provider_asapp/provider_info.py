"""What Airflow reads about this package: the connection form as data, and what the package holds.

Airflow loads this in each of its processes, so it imports nothing.
"""

from __future__ import annotations

from typing import Any

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    # The port stays: Airflow 3.3.1 and 3.3.2 can't test a connection without one (apache/airflow#73298).
    "hidden-fields": ["schema"],
    "relabeling": {"login": "API Id", "password": "API Secret", "host": "API domain"},
    "placeholders": {
        "host": "api.asapp.com for production; empty for the sandbox, api.sandbox.asapp.com",
        "port": "normally empty; 443 if the test button answers Bad Request",
        "login": "asapp-api-id",
        "password": "asapp-api-secret",
    },
}

# No defaults: the form would save them into each connection, and they could never change again.
CONN_FIELDS: dict[str, Any] = {
    "timeout": {
        "label": "Timeout (seconds)",
        "schema": {"type": ["integer", "null"], "minimum": 1, "maximum": 3600},
        "description": "How long to wait for an answer. Empty: 60.",
    },
    "requests_per_second": {
        "label": "Requests per second",
        "schema": {"type": ["integer", "null"], "minimum": 1, "maximum": 100},
        "description": "Of one task. ASAPP takes 100 from the whole account: share them out. Empty: 100.",
    },
    "ca_bundle": {
        "label": "CA bundle (path)",
        "schema": {"type": ["string", "null"]},
        "description": "A file of certificates to trust instead of the public ones.",
    },
    "allow_plain_http": {
        "label": "Allow plain HTTP",
        "schema": {"type": ["boolean", "null"]},
        "description": "For a simulator in another container. Never for ASAPP itself, which refuses it.",
    },
}

# Airflow 3 calls them assets, Airflow 2.11 data sets.
ASSET_URIS: list[dict[str, Any]] = [
    {
        "schemes": ["asapp"],
        "handler": "airflow_provider_asapp.assets.sanitize_uri",
        "to_openlineage_converter": "airflow_provider_asapp.assets.to_openlineage",
    }
]


def get_provider_info() -> dict[str, Any]:
    """Return the dict that Airflow's provider manager reads from the entry point."""
    from importlib.metadata import version

    return {
        "package-name": "airflow-provider-asapp",
        "name": "ASAPP",
        "description": "Delivers metadata about conversations, agents and customers to ASAPP.",
        "state": "ready",
        "source-date-epoch": 1795392000,
        "versions": [version("airflow-provider-asapp")],
        "integrations": [
            {"integration-name": "ASAPP", "external-doc-url": "https://docs.asapp.com", "tags": ["service"]}
        ],
        "hooks": [{"integration-name": "ASAPP", "python-modules": ["airflow_provider_asapp.hooks"]}],
        "operators": [
            {
                "integration-name": "ASAPP",
                "python-modules": ["airflow_provider_asapp.operators", "airflow_provider_asapp.transfers"],
            }
        ],
        "connection-types": [
            {
                "connection-type": "asapp",
                "hook-name": "ASAPP",
                "hook-class-name": "airflow_provider_asapp.hooks.AsappHook",
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
                "conn-fields": CONN_FIELDS,
            }
        ],
        "asset-uris": ASSET_URIS,
        "dataset-uris": ASSET_URIS,
    }
