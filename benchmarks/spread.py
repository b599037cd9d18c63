"""Rounds in turn, and the median of what they gave, with the spread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import Any, NamedTuple

Sample = dict[str, Any]
Samples = dict[str, list[Sample]]


class Spread(NamedTuple):
    """The median of some rounds, and the lowest and highest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of the values of all rounds."""
        found = list(values)
        return cls(median(found), min(found), max(found))

    def show(self, digits: int = 0) -> str:
        """Return it as text; of a single round just the number."""
        if self.low == self.high:
            return f"{self.median:,.{digits}f}"
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"


def in_turn(rounds: int, actions: Mapping[str, Callable[[], Sample]], say: Callable[[str], None]) -> Samples:
    """Return what each action gave in each round: A B C, A B C, so that a drift of the machine hits all alike."""
    samples: Samples = defaultdict(list)
    for number in range(1, rounds + 1):
        for name, action in actions.items():
            sample = action()
            samples[name].append(sample)
            say(f"round {number} of {rounds}, {name}: {told(sample)}")
    return dict(samples)


def told(sample: Sample) -> str:
    """Return the numbers of a sample in one line."""
    numbers = [(name, value) for name, value in sample.items() if isinstance(value, int | float)]
    return ", ".join(f"{name} {value:,.{1 if isinstance(value, float) else 0}f}" for name, value in numbers)


def spread_of(samples: Iterable[Sample], key: str) -> Spread:
    """Return the spread of one number of the samples."""
    return Spread.of(sample[key] for sample in samples)


def ratio(over: Iterable[Sample], under: Iterable[Sample], key: str) -> Spread:
    """Return the spread of a ratio, taken round by round."""
    return Spread.of(one[key] / other[key] for one, other in zip(over, under, strict=True))
