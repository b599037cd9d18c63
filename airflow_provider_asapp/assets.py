"""ASAPP's entities as Airflow assets: `asapp://api.asapp.com/conversation`.

Airflow imports this module with the first asset that a DAG file names, so it imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset

NAMES = ("conversation", "agent", "customer")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return an asset's URI in the one form that it has; a typo shows when the DAG is parsed.

    :param uri: its parts.
    :raises ValueError: it is not a domain with an entity.
    """
    name = uri.path.strip("/")
    if not uri.netloc or name not in NAMES:
        raise ValueError(
            f"An asset of ASAPP's must be asapp://domain/entity, such as asapp://api.asapp.com/{NAMES[0]}; "
            f"the entities are {', '.join(NAMES)}."
        )
    return uri._replace(netloc=uri.netloc.lower(), path=f"/{name}")


def to_openlineage(asset: Any, lineage_context: Any) -> Dataset:  # noqa: ARG001 - Airflow gives both
    """Return an asset as the data set that our operators name: so who reads it and who writes it are one graph.

    :param asset: one with our URI.
    :param lineage_context: who asks; not needed.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset

    domain, name = urlsplit(asset.uri)[1:3]
    return Dataset(namespace=f"asapp://{domain}", name=name.strip("/"))
