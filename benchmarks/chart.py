"""The results as a picture: `python -m benchmarks.chart RESULTS.json PICTURE.png`, in the venv that has matplotlib."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks import suite
from benchmarks.report import KINDS, Results
from benchmarks.spread import Samples, Spread, spread_of

OURS, THEIRS, LIMIT = "#1f6f8b", "#b9c0c7", "#e0a458"
STAGE_COLOURS = ("#9ecae1", "#1f6f8b", "#4f9db8", "#e0a458", "#b9c0c7")
INK = "#333333"


def main() -> None:
    """Draw."""
    results: Results = json.loads(Path(sys.argv[1]).read_text())
    figure, axes = pyplot.subplots(2, 2, figsize=(13, 8.6), layout="constrained", dpi=110)
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.15)
    speeds(axes[0][0], results["throughput"], suite.THROUGHPUT, "From SQLite to answered, no latency")
    speeds(axes[0][1], results["late"], suite.LATE, f"{suite.LATENCY * 1000:.0f} ms for each answer")
    window(axes[0][1])
    stages(axes[1][0], results["stages"])
    memory(axes[1][1], results["sizes"])
    figure.savefig(sys.argv[2], facecolor="white")


def speeds(axes: Axes, samples: Samples, ways: Sequence[suite.Way], title: str) -> None:
    """Draw a bar for each way, logarithmic, with the spread of the rounds as a line."""
    found = [spread_of(samples[way.name], "speed") for way in ways]
    bars = axes.barh(
        [way.name for way in ways],
        [spread.median for spread in found],
        color=[colour(way) for way in ways],
        xerr=errors(found),
        error_kw={"ecolor": INK, "elinewidth": 1},
    )
    axes.set_xscale("log")
    highest = max(spread.high for spread in found)
    axes.set_xlim(min(spread.low for spread in found) / 2, highest * 5)
    labels = axes.bar_label(bars, [f"{spread.median:,.0f}" for spread in found], padding=9, color=INK, zorder=3)
    for label in labels:
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    dress(axes, title, "records a second (logarithmic)")


def window(axes: Axes) -> None:
    """Mark what the default window allows."""
    limit = suite.WINDOW * suite.BATCH / suite.LATENCY
    axes.axvline(limit, color=INK, linestyle=":", linewidth=1.2)
    axes.annotate(
        f"{suite.WINDOW} requests at once allow {limit:,.0f}",
        (limit, 0),
        (-5, 4),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right",
        fontsize=9,
        color=INK,
    )


def stages(axes: Axes, samples: Samples) -> None:
    """Draw what a record costs, stage upon stage."""
    names = list(KINDS.values())
    left = [0.0] * len(names)
    for stage, shade in zip(suite.STAGES, STAGE_COLOURS, strict=True):
        medians = [max(0.0, spread_of(samples[kind], stage).median) for kind in KINDS]
        axes.barh(names, medians, left=left, color=shade, label=stage, height=0.6)
        left = [before + more for before, more in zip(left, medians, strict=True)]
    for number, whole in enumerate(left):
        axes.annotate(f"{whole:.1f}", (whole, number), (5, 0), textcoords="offset points", va="center", color=INK)
    axes.set_xlim(0, max(left) * 1.12)
    axes.invert_yaxis()
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=3, frameon=False, fontsize=9)
    dress(axes, "What a record costs", "microseconds of CPU")


def memory(axes: Axes, samples: Samples) -> None:
    """Draw the peak of each size."""
    found = [spread_of(peaks, "peak") for peaks in samples.values()]
    bars = axes.bar(list(samples), [spread.median for spread in found], color=OURS, width=0.5, yerr=errors(found))
    axes.bar_label(bars, [f"{spread.median:,.0f} MiB" for spread in found], padding=5, color=INK)
    axes.set_ylim(0, max(spread.high for spread in found) * 1.2)
    dress(axes, "Peak memory of the process", "")
    axes.set_ylabel("MiB", color=INK)
    axes.yaxis.grid(visible=True, color="#e6e6e6")
    axes.xaxis.grid(visible=False)


def colour(way: suite.Way) -> str:
    """Return ours, theirs, or the limit's."""
    return {"ours": OURS, "plain_http": LIMIT}.get(way.module, THEIRS)


def errors(found: Sequence[Spread]) -> list[list[float]]:
    """Return the spread as matplotlib wants it: how far below and above."""
    return [[one.median - one.low for one in found], [one.high - one.median for one in found]]


def dress(axes: Axes, title: str, unit: str) -> None:
    """Give a panel its title, and take away what says nothing."""
    axes.set_title(title, loc="left", fontweight="bold", color=INK)
    axes.set_xlabel(unit, color=INK)
    axes.tick_params(colors=INK, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.xaxis.grid(visible=True, color="#e6e6e6")
    axes.set_axisbelow(True)


if __name__ == "__main__":
    main()
