"""What the numbers are held against."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks import suite
from benchmarks.spread import Samples, Spread, ratio, spread_of

MIB, MB = 2**20, 10**6


class Target(NamedTuple):
    """An aim, and what was measured of it.

    :param aim: in words.
    :param limit: the number in it.
    :param at_least: whether more is better.
    """

    aim: str
    limit: float
    measured: Spread
    at_least: bool = True
    digits: int = 2

    @property
    def met(self) -> bool:
        """Whether the median keeps it."""
        median = self.measured.median
        return median >= self.limit if self.at_least else median <= self.limit


def targets(results: dict[str, Samples]) -> list[Target]:
    """Return every aim with what was measured."""
    throughput, late = results["throughput"], results["late"]
    ours = throughput[suite.OURS.name]

    def times(way: suite.Way) -> Spread:
        return ratio(ours, throughput[way.name], "speed")

    def share(way: suite.Way) -> Spread:
        return ratio(throughput[way.name], ours, "speed")

    window = suite.WINDOW * suite.BATCH / suite.LATENCY
    resumed = results["resume"]["resume"]
    return [
        Target("at least 8 times dlt's custom destination", 8, times(suite.DLT), digits=1),
        Target("at least 0.2 of plain HTTP with bodies made before", 0.2, times(suite.PLAIN)),
        Target("at least 3 times drt", 3, times(suite.DRT), digits=1),
        Target("at least 60 times record by record", 60, times(suite.RECORD), digits=0),
        Target("at most 10 microseconds of CPU a record", 10, spread_of(ours, "cpu"), at_least=False, digits=1),
        Target("every value distinct: at least 0.5 of the ordinary speed", 0.5, share(suite.DISTINCT)),
        Target("1 % bad records: at least 0.8 of the ordinary speed", 0.8, share(suite.BAD)),
        Target(
            "200 ms for each answer: at least 0.95 of what the window allows",
            0.95,
            Spread.of(sample["speed"] / window for sample in late[suite.OURS.name]),
        ),
        Target(
            "1,000,000 rows: at most 20 MB more memory than 10,000 rows", 20, grown(results["sizes"]), at_least=False
        ),
        Target(
            "confirmed rows are verified at least 1.3 times as fast as they are sent",
            1.3,
            Spread.of(sample["sent"] / sample["verified"] for sample in resumed),
        ),
    ]


def grown(sizes: Samples) -> Spread:
    """Return how many MB more the largest size needed than the smallest."""
    first, *_, last = sizes.values()
    pairs = zip(first, last, strict=True)
    return Spread.of((more["peak"] - less["peak"]) * MIB / MB for less, more in pairs)
