"""ASAPP's three entities as marshmallow schemas: the only authority on what is valid.

``load`` takes a record as a driver gives it and returns what is sent. Fields, limits and enums are those of
ASAPP's "Metadata Ingestion API".
"""

# ruff: noqa: N815 - the fields' names are ASAPP's

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from marshmallow import Schema, ValidationError, pre_load

from airflow_provider_asapp.fields import (
    Choice,
    Email,
    GivenTwice,
    Identifier,
    Integer,
    Phone,
    Text,
    Timestamp,
)
from airflow_provider_asapp.list_fields import Attributes, IdentifierList


class MetadataSchema(Schema):
    """The base: keys in any case, with or without underscores, and a hint for a misspelt one."""

    @pre_load
    def to_api_names(self, data: Any, **_: Any) -> Any:
        """Give the values their API names; a field under several keys becomes an error of that field.

        :param data: the record.
        """
        if not isinstance(data, Mapping):
            return data
        keys = defaultdict[Any, list[Any]](list)
        for key in data:
            keys[_api_name(type(self), key) or key].append(key)
        return {name: data[given[0]] if len(given) == 1 else GivenTwice(tuple(given)) for name, given in keys.items()}

    def handle_error(self, error: ValidationError, data: Any, *, many: bool, **_: Any) -> None:  # noqa: ARG002
        """Say of each unknown key which field it may have meant.

        :param error: its messages are changed in place.
        :param data: the record, or the records.
        :param many: whether these are records.
        """
        messages: Any = error.messages
        for errors in messages.values() if many else [messages]:
            if isinstance(errors, dict):
                self._explain_unknown(errors)

    def _explain_unknown(self, errors: dict[Any, Any]) -> None:
        text = self.error_messages["unknown"]
        unknown = [key for key, messages in errors.items() if messages == [text]]
        # In order of their names: marshmallow's is that of a set, another in each process.
        for key in sorted(unknown, key=lambda key: key if isinstance(key, str) else ""):
            del errors[key]
            meant = _suggestion(type(self), key)
            errors[key] = [f"{text[:-1]}; did you mean {meant}?" if meant else text]


class ConversationMetadataSchema(MetadataSchema):
    """One conversation."""

    externalConversationId = Identifier(256, required=True)
    eventId = Identifier(256)
    lobId = Identifier(256)
    lobName = Text(256)
    groupId = Identifier(256)
    groupName = Text(256)
    agentRoutingCode = Identifier(256)
    campaign = Identifier(256)
    deviceType = Choice("TABLET", "PHONE", "DESKTOP", "WATCH", "OTHER")
    platform = Choice(
        *("SMS", "WEB", "IOS", "ANDROID", "APP", "LOCAL"),
        *("VOICE", "VOICE_IOS", "VOICE_ANDROID", "VOICE_ECHO", "VOICE_HOMEPOD", "VOICE_GGLHOME", "VOICE_WEB"),
        *("APPLEBIZ", "GOOGLEBIZ", "GBM", "WAB"),
    )
    companySegment = IdentifierList(64)
    companySubdivision = Identifier(256)
    businessRule = Text(256)
    entryType = Identifier(256)
    operatingSystem = Choice("MAC_OS", "LINUX", "WINDOWS", "ANDROID", "IOS", "OTHER")
    browserType = Identifier(64)
    browserVersion = Identifier(16, signs="-_.")
    attributes = Attributes(name_length=256, value_length=1024, max_items=10)


class AgentMetadataSchema(MetadataSchema):
    """One agent."""

    externalAgentId = Identifier(256, required=True)
    eventId = Identifier(256)
    startTs = Timestamp()
    lobId = Identifier(256)
    lobName = Text(256)
    groupId = Identifier(256)
    groupName = Text(256)
    agentName = Text(256)
    agentLocation = Text(256)
    supervisorId = Identifier(256)
    supervisorName = Text(256)
    languages = IdentifierList(16, signs="-")
    concurrency = Integer()
    categoryLabel = Identifier(256)
    accountAccessLevel = Identifier(256)
    ranking = Integer()
    vendor = Text(256)
    jobTitle = Identifier(256)
    jobRole = Identifier(256)
    workShift = Identifier(256)
    emailAddress = Email()
    attributes = Attributes(name_length=256, value_length=1024, max_items=10)


class CustomerMetadataSchema(MetadataSchema):
    """One customer in one conversation."""

    externalConversationId = Identifier(256, required=True)
    externalCustomerId = Identifier(256, signs="-_.@", required=True)
    eventId = Identifier(256)
    status = Identifier(256)
    phoneNumber = Phone(32)
    emailAddress = Email()
    userId = Identifier(256)
    addressCountry = Identifier(128)
    addressState = Identifier(128)
    addressZipcode = Identifier(16)
    attributes = Attributes(name_length=256, value_length=1024, max_items=10)


@dataclass(frozen=True)
class Entity:
    """What ASAPP keeps metadata about.

    :param name: ours, as users write it.
    :param schema_class: its rules.
    :param key_fields: the fields that say which one it is.
    :param path_word: ASAPP's, in its paths.
    """

    name: str
    schema_class: type[MetadataSchema]
    key_fields: tuple[str, ...]
    path_word: str


ENTITIES: dict[str, Entity] = {
    entity.name: entity
    for entity in (
        Entity("conversation", ConversationMetadataSchema, ("externalConversationId",), "convo"),
        Entity("agent", AgentMetadataSchema, ("externalAgentId",), "agent"),
        Entity("customer", CustomerMetadataSchema, ("externalConversationId", "externalCustomerId"), "customer"),
    )
}


def api_name(entity: Entity, column: object) -> str | None:
    """Return the field that a column is, in any case and with or without underscores; None if it is none.

    :param entity: whose fields.
    :param column: a column's name.
    """
    return _api_name(entity.schema_class, column)


def suggestion(entity: Entity, column: object) -> str | None:
    """Return the field that a column which is none may have meant, if one is near.

    :param entity: whose fields.
    :param column: a column's name.
    """
    return _suggestion(entity.schema_class, column)


def _api_name(schema_class: type[MetadataSchema], column: object) -> str | None:
    return _api_names(schema_class).get(_folded(column))


def _suggestion(schema_class: type[MetadataSchema], column: object) -> str | None:
    names, folded = _api_names(schema_class), _folded(column)
    # conversation_id is not near externalConversationId for difflib, but the only field that has it in its name.
    near = [name for name in names if folded in name] if len(folded) > 2 else []
    if len(near) != 1:
        near = difflib.get_close_matches(folded, names, n=1, cutoff=0.75)
    return names[near[0]] if near else None


@cache
def _api_names(schema_class: type[MetadataSchema]) -> dict[str, str]:
    return {_folded(name): name for name in schema_class().fields}


def _folded(column: object) -> str:
    # ASCII only: lower() makes an ordinary k of the Kelvin sign.
    return column.replace("_", "").lower() if isinstance(column, str) and column.isascii() else ""
