"""ASAPP's entities as assets: one form, and one name in Airflow and OpenLineage."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import Asset

from airflow_provider_asapp.assets import NAMES
from airflow_provider_asapp.lineage import written
from airflow_provider_asapp.schemas import ENTITIES
from tests.versions import AIRFLOW


@pytest.mark.parametrize("name", ENTITIES)
def test_one_form(name: str) -> None:
    """An asset of ASAPP's has one URI, however its domain is written."""
    assert Asset(f"asapp://API.asapp.com/{name}/").uri == Asset(f"asapp://api.asapp.com/{name}").uri


@pytest.mark.parametrize("uri", ["asapp://conversation", "asapp://api.asapp.com/conversations", "asapp:///agent"])
def test_a_typo_shows_at_parse_time(uri: str) -> None:
    """A URI that names no domain, or no entity, is an error of the DAG's import, and says how to write it.

    On Airflow 2.11 a warning says it.
    """
    match = r"asapp://api.asapp.com/conversation; the entities are conversation, agent"
    with pytest.raises(ValueError, match=match) if AIRFLOW >= (3, 0) else pytest.warns(UserWarning, match=match):
        Asset(uri)


def test_every_entity_is_an_asset() -> None:
    """The names are those of the entities."""
    assert set(NAMES) == set(ENTITIES)


def test_openlineage_knows_it_by_the_same_name() -> None:
    """Who lists the asset and who sends the records tell OpenLineage of one data set."""
    from airflow.providers.common.compat.openlineage.utils.utils import translate_airflow_asset

    asset = translate_airflow_asset(asset=Asset("asapp://API.asapp.com/agent"), lineage_context=None)
    report = {"entity": "agent", "accepted": 1, "already_persisted": 0, "rejects": None}
    (ours,) = written("api.asapp.com", report, None)
    assert (asset.namespace, asset.name) == (ours.namespace, ours.name) == ("asapp://api.asapp.com", "agent")
