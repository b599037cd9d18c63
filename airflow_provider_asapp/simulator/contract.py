"""What ASAPP takes, read from `contract.json`: its facts are written down there and nowhere else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from jsonschema import Draft202012Validator, FormatChecker, validators

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

Entity: TypeAlias = Literal["conversation", "agent", "customer"]
Key: TypeAlias = str | tuple[str, ...]
Item: TypeAlias = dict[str, Any]

ENTITIES: Final[tuple[Entity, ...]] = get_args(Entity)
CONTRACT: Final[dict[str, Any]] = json.loads(
    resources.files(__package__).joinpath("contract.json").read_text(encoding="utf-8")
)
_FACTS: Final[dict[str, Any]] = CONTRACT["x-asapp"]
HEALTH_PATH: Final[str] = _FACTS["health"]
MAX_ITEMS: Final[int] = _FACTS["maxItems"]
REQUESTS_PER_SECOND: Final[int] = _FACTS["requestsPerSecond"]

# What only Python's `$` needs; see the comment in contract.json.
_NO_NEWLINE: Final = r"(?!\n)"

# Empty at first: the formats that jsonschema brings depend on what else is installed.
_FORMATS: Final = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_in_the_calendar(value: object) -> bool:
    """Only what a pattern can't say: that the month has such a day, and that the year is not 0."""
    if isinstance(value, str):
        datetime.fromisoformat(value[: len("YYYY-MM-DDTHH:MM:SS")])
    return True


@dataclass(frozen=True, slots=True)
class Operation:
    """What one path takes: records of one entity, either one or many in a request."""

    entity: Entity
    many: bool


OPERATIONS: Final[dict[str, Operation]] = {
    path: Operation(entity=entity, many=kind == "many")
    for entity in ENTITIES
    for kind, path in _FACTS["operations"][entity].items()
}


def _inside(validator: Validator, schema: Any, instance: Any, step: str | int) -> Iterator[ValidationError]:
    part = _COMPILED.get(id(schema))
    if part is None:
        part = _COMPILED[id(schema)] = validator.evolve(schema=schema)
    for error in part.iter_errors(instance):
        error.path.appendleft(step)
        yield error


def _properties(validator: Validator, rules: Any, instance: Any, _: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for name, rule in rules.items():
            if name in instance:
                yield from _inside(validator, rule, instance[name], name)


def _items(validator: Validator, rule: Any, instance: Any, _: Any) -> Iterator[ValidationError]:
    if isinstance(instance, list):
        for place, entry in enumerate(instance):
            yield from _inside(validator, rule, entry, place)


# jsonschema makes a new validator wherever it goes one level down, which was more than half of the time for a record.
# These two keywords keep the ones they have made, by identity: the schemas live as long as this module.
_COMPILED: Final[dict[int, Validator]] = {}
_Validator: Final[type[Validator]] = validators.extend(  # type: ignore[no-untyped-call]  # of types-jsonschema
    Draft202012Validator, {"properties": _properties, "items": _items}
)


class Rules:
    """The contract of one entity.

    :param entity: whose records these are.
    """

    def __init__(self, entity: Entity) -> None:
        schema = CONTRACT["$defs"][entity]
        self._fields: dict[str, Any] = schema["properties"]
        self._required: list[str] = schema["required"]
        self._key: list[str] = _FACTS["keys"][entity]
        self._record = _Validator(schema, format_checker=_FORMATS)
        self._event_id = _Validator(self._fields["eventId"])

    def complaint(self, item: object) -> str:
        """Name each wrong field and the rule that it breaks, never its value; empty for a good item."""
        if not isinstance(item, dict):
            return "item must be an object"
        try:
            return "; ".join(self._complaints(item))
        except RecursionError:
            return "item is nested too deep"

    def _complaints(self, item: Item) -> Iterator[str]:
        for error in self._record.iter_errors(item):
            # jsonschema names a missing field only in its prose.
            if error.validator != "required":
                yield f"{_place(error)} {_rule(error)}"
        yield from (f"{name} is required" for name in self._required if name not in item)

    def known(self, item: Item) -> Item:
        """Leave out the keys that the contract does not name, as ASAPP does in silence."""
        return {name: value for name, value in item.items() if name in self._fields}

    def key(self, item: object) -> Key | None:
        """Give the text that names the record, or a tuple of such texts; None where one is not a text."""
        if not isinstance(item, dict):
            return None
        parts = [part for name in self._key if isinstance(part := item.get(name), str)]
        if len(parts) < len(self._key):
            return None
        return parts[0] if len(parts) == 1 else tuple(parts)

    def event_id(self, item: object) -> str | None:
        """Give the item's own event id if it is a valid one."""
        own = item.get("eventId") if isinstance(item, dict) else None
        return own if isinstance(own, str) and self._event_id.is_valid(own) else None


RULES: Final[dict[Entity, Rules]] = {entity: Rules(entity) for entity in ENTITIES}


def _place(error: ValidationError) -> str:
    """Say where: `attributes[3].name` for the name of the fourth attribute."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.path)
    return "".join(steps).removeprefix(".")


def _rule(error: ValidationError) -> str:
    limit: Any = error.validator_value
    match error.validator:
        case "type":
            return f"must be of type {limit if isinstance(limit, str) else ' or '.join(limit)}"
        case "pattern":
            return f"must match {limit.removesuffix(_NO_NEWLINE)}"
        case "maxLength":
            return f"must have at most {limit} characters"
        case "maxItems":
            return f"must have at most {limit} entries"
        case "enum":
            return f"must be one of {', '.join(choice for choice in limit if choice is not None)}"
        case _:
            return f"must be a real {limit}"
