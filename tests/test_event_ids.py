"""Promises of event ids: what the standard says a UUID of version 5 is, one for each content, in order."""

from __future__ import annotations

from uuid import uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_asapp.event_ids import EVENT_IDS, EventIds

names = st.text(st.characters(codec="utf-8"), max_size=30)


@given(st.lists(names, max_size=20), names)
def test_they_are_what_the_uuid_module_makes_of_the_same_name(contents: list[str], scope: str) -> None:
    """Anybody can make them again: the name is scope, entity and JSON, a line each."""
    expected = [str(uuid5(EVENT_IDS, f"{scope}\nagent\n{{{content}")) for content in contents]
    assert EventIds(scope, "agent").of(contents) == expected


@pytest.mark.parametrize("size", [999, 1000, 5000])
def test_a_large_page_is_like_a_small_one(size: int) -> None:
    """Each content gets its own id, wherever it stands."""
    contents = [f'"externalAgentId":"a{number}"}}' for number in range(size)]
    ids = EventIds("run", "agent")
    found = ids.of(contents)
    assert len(set(found)) == size
    assert found == [id_ for content in contents for id_ in ids.of([content])]
