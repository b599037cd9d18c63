"""Results as a page of Markdown; the words are those of `page.md`, every number is a measured one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

from benchmarks import suite
from benchmarks.spread import Samples, Spread, spread_of
from benchmarks.targets import targets

PAGE = Path(__file__).with_name("page.md")
KINDS = {"ordinary": "ordinary", "distinct": "every value distinct", "bad": "1 % bad records"}
VALIDATES = {"ours", "schema_batches", "record_by_record"}
Results = dict[str, Samples]


def page(results: Results, *, machine: str, commit: str) -> str:
    """Return the whole page."""
    throughput, late = results["throughput"], results["late"]
    filled = Template(PAGE.read_text()).substitute(
        machine=machine,
        commit=commit,
        versions=versions(results),
        rounds=len(next(iter(late.values()))),
        throughput_rounds=len(next(iter(throughput.values()))),
        targets=target_table(results),
        throughput=speed_table(throughput, suite.THROUGHPUT),
        late=late_table(late),
        stages=stage_table(results["stages"]),
        sizes=size_table(results["sizes"]),
        parsing=parsing_table(results["parsing"]),
        resume=resume_table(results["resume"]["resume"]),
        latency=f"{suite.LATENCY * 1000:.0f}",
        window=suite.WINDOW,
        ceiling=f"{suite.WINDOW * suite.BATCH / suite.LATENCY:,.0f}",
    )
    return filled.rstrip() + "\n"


def versions(results: Results) -> str:
    """Return the packages that took part, with their versions."""
    found: dict[str, str] = {}
    for samples in results["throughput"].values():
        found = samples[0]["versions"] | found
    return ", ".join(f"{name} {number}" for name, number in found.items())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table that can be read as text too: numbers to the right of what they are of."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = [
        " | ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    rule = " | ".join(("-" * (width - 1) + ":") if column else "-" * width for column, width in enumerate(widths))
    return "\n".join(f"| {line} |" for line in (padded[0], rule, *padded[1:]))


def target_table(results: Results) -> str:
    """Return the aims beside what was measured."""
    found = targets(results)
    rows = [(one.aim, one.measured.show(one.digits), "yes" if one.met else "no") for one in found]
    return table(("aim", "measured", "met"), rows)


def speed_table(samples: Samples, ways: Iterable[suite.Way]) -> str:
    """Return records a second and CPU for each way."""
    return table(
        ("way", "checks records", "rows", "records/s", "CPU µs/record"),
        [(way.name, yes(way.module in VALIDATES), *numbers(samples, way)) for way in ways],
    )


def late_table(samples: Samples) -> str:
    """Return the same where each answer takes its time, and of ours what share of the window it is."""
    return table(
        ("way", "requests at once", "rows", "records/s", "CPU µs/record"),
        [(way.name, at_once(way), *numbers(samples, way)) for way in suite.LATE],
    )


def numbers(samples: Samples, way: suite.Way) -> tuple[str, str, str]:
    """Return rows, speed and CPU of a way."""
    found = samples[way.name]
    return f"{found[0]['rows']:,}", spread_of(found, "speed").show(), spread_of(found, "cpu").show(1)


def at_once(way: suite.Way) -> str:
    """Return how many requests of a way are under way at once."""
    if way.module == "ours":
        return str(way.options.get("max_in_flight", suite.WINDOW))
    return "up to 20" if way.module == "dlt_destination" else "1"


def yes(flag: bool) -> str:
    """Return a flag as a word."""
    return "yes" if flag else "no"


def stage_table(samples: Samples) -> str:
    """Return microseconds by stage and data set."""
    rows = [(stage, *(spread_of(samples[kind], stage).show(1) for kind in KINDS)) for stage in suite.STAGES]
    whole = [Spread.of(sum(sample.values()) for sample in samples[kind]).show(1) for kind in KINDS]
    return table(("CPU µs/record", *KINDS.values()), [*rows, ("together", *whole)])


def size_table(samples: Samples) -> str:
    """Return memory, requests and the time to the first request by size."""
    return table(
        ("size", "peak memory, MiB", "over the first", "requests", "seconds to the first request"),
        [
            (
                size,
                spread_of(found, "peak").show(1),
                f"{spread_of(found, 'peak').median - spread_of(next(iter(samples.values())), 'peak').median:+.1f}",
                f"{found[0]['requests']:,}",
                spread_of(found, "first").show(2),
            )
            for size, found in samples.items()
        ],
    )


def parsing_table(samples: Samples) -> str:
    """Return the import time of each module."""
    return table(
        ("module", "milliseconds"),
        [(f"`{name}`", spread_of(found, "milliseconds").show(1)) for name, found in samples.items()],
    )


def resume_table(samples: list[dict[str, float]]) -> str:
    """Return sending against verifying."""
    rows = f"{samples[0]['rows']:,} rows"
    return table(
        ("step", "seconds"),
        [
            (f"first try: send {rows}, no latency", spread_of(samples, "sent").show(1)),
            (f"next try: verify {rows}, then send on", spread_of(samples, "verified").show(1)),
        ],
    )
