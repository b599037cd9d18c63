"""Reads an Airflow connection of type ``asapp``, and makes of it the client that it describes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import ObjectStoragePath, mask_secret

from airflow_provider_asapp.client import PRODUCTION, SANDBOX, AsappClient
from airflow_provider_asapp.errors import AsappConfigurationError
from airflow_provider_asapp.transport import is_plain_loopback

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

log = logging.getLogger(__name__)
TRUE = {"true", "t", "yes", "y", "on", "1"}
FALSE = {"false", "f", "no", "n", "off", "0"}
CONN_TYPE = "asapp"
ENVIRONMENTS = {urlsplit(SANDBOX).hostname: "ASAPP's sandbox", urlsplit(PRODUCTION).hostname: "ASAPP's production"}


def environment(client: AsappClient) -> str:
    """Return in words where a client's requests go."""
    name = ENVIRONMENTS.get(urlsplit(client.base_url).hostname, "neither ASAPP's sandbox nor its production")
    return f"{client.domain} ({name})"


def client_of(connection: Connection) -> AsappClient:
    """Return the client that a connection describes; from here on Airflow masks its keys in logs.

    :raises AsappConfigurationError: it is of another type, or a value in it is missing or wrong.
    """
    if connection.conn_type != CONN_TYPE:
        raise AsappConfigurationError(
            f"The connection {connection.conn_id} is of type {connection.conn_type}: it must be of type asapp."
        )
    for secret in (connection.login, connection.password):
        if secret:
            mask_secret(secret)
    extra = Extras(connection.extra_dejson)
    client = AsappClient(
        connection.login or "",
        connection.password or "",
        base_url=url_of(connection.host, connection.port),
        timeout=extra.number("timeout", 60.0),
        requests_per_second=extra.number("requests_per_second", 100.0),
        ca_bundle=extra.text("ca_bundle"),
        allow_plain_http=extra.flag("allow_plain_http"),
    )
    if client.base_url.startswith("http://") and not is_plain_loopback(client.base_url):
        log.warning("allow_plain_http: the API Secret and all records go to %s unencrypted.", client.domain)
    return client


def url_of(host: str | None, port: int | None) -> str:
    """Return the URL that the connection's host and port mean: without a scheme HTTPS, empty the sandbox."""
    host = (host or "").strip()
    if not host:
        return SANDBOX
    url = (host if "://" in host else f"https://{host}").rstrip("/")
    standard = {"https": 443, "http": 80}.get(url.partition("://")[0])
    has_port = url.rpartition(":")[2].isdecimal()
    return url if port is None or port == standard or has_port else f"{url}:{port}"


class Extras:
    """Reads a connection's extras, which arrive as real types, text, null or ``''``, as form and API made them."""

    def __init__(self, values: Any) -> None:
        if not isinstance(values, Mapping):
            raise AsappConfigurationError("The connection's extras must be a JSON object.")
        self._values = values

    def _get(self, name: str) -> Any:
        # Airflow 2.11's test button sends the form's own copies.
        given = (self._values.get(key) for key in (name, f"extra__asapp__{name}"))
        return next((value for value in given if value not in (None, "")), None)

    def text(self, name: str) -> str | None:
        """Return a text, None if it is not set."""
        value = self._get(name)
        return None if value is None else str(value)

    def number(self, name: str, default: float) -> float:
        """Return a number greater than 0.

        :raises AsappConfigurationError: it is none.
        """
        value = self._get(name)
        try:
            number = default if value is None else float(value)
        except (TypeError, ValueError):
            number = 0.0
        if isinstance(value, bool) or not 0 < number < float("inf"):
            raise AsappConfigurationError(f"The connection's extra {name} must be a number greater than 0.")
        return number

    def flag(self, name: str) -> bool:
        """Return a yes or no; not set is no.

        :raises AsappConfigurationError: it is neither.
        """
        text = str(self._get(name) or False).strip().lower()
        if text not in TRUE | FALSE:
            raise AsappConfigurationError(f"The connection's extra {name} must be true or false.")
        return text in TRUE


def storage_path(name: str, path: str) -> ObjectStoragePath:
    """Return the path that a parameter means.

    :raises AsappConfigurationError: it is empty, or no provider for its storage is installed.
    """
    if not path:
        raise AsappConfigurationError(f"{name} is empty: is it a template of a Variable that is not set?")
    try:
        found = ObjectStoragePath(path)
        found.fs  # noqa: B018 - this is where Airflow looks for the storage
    except (ValueError, ImportError) as error:
        raise AsappConfigurationError(f"{name}: {error}. Is the provider of this storage installed?") from error
    return found
