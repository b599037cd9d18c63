"""Measures all and prints it: `make bench`, or `make bench QUICK=1` for fewer rows, which writes nothing."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import machine, report
from benchmarks.suite import FULL, QUICK, Suite

PARTS = ("throughput", "late", "stages", "sizes", "parsing", "resume")
DOCS = machine.REPOSITORY / "docs"


def main() -> None:
    """Measure, print, and write page and chart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows, one round, and nothing is written")
    parser.add_argument("--python", default=sys.executable, help="the one that has dlt, drt and matplotlib")
    given = parser.parse_args()
    python = str(Path(given.python).absolute())  # not resolved: a venv is where its link is
    measured_at = machine.commit()
    with tempfile.TemporaryDirectory(prefix="asapp-bench-") as folder:
        suite = Suite(Path(folder), QUICK if given.quick else FULL, foreign_python=python, say=say)
        suite.build()
        results = {part: getattr(suite, part)() for part in PARTS}
        page = report.page(results, machine=machine.machine(), commit=measured_at)
        print(page)
        if given.quick:
            print("Quick: few rows and one round, so these are no results. Nothing was written.")
        else:
            (DOCS / "speed.md").write_text(page)
            draw(python, results, Path(folder) / "results.json")


def draw(python: str, results: report.Results, file: Path) -> None:
    """Write the chart, with the interpreter that has matplotlib."""
    file.write_text(json.dumps(results))
    command = [python, "-m", "benchmarks.chart", str(file), str(DOCS / "speed.png")]
    subprocess.run(command, cwd=machine.REPOSITORY, check=True)


def say(text: str) -> None:
    """Tell how far it is, beside what is printed at the end."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
