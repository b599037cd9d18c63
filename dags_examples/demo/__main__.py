"""One day of conversations, from a warehouse to ASAPP, on real parts: `python -m dags_examples.demo`.

Builds a SQLite warehouse, starts the local simulator of ASAPP, runs the sample DAG with Airflow's own command line,
and ends with 0 only if every row of that day is accounted for and the simulator holds just what the report says.
All it makes is in `.demo`, which each run makes anew.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dags_examples.demo import airflow_cli, telling, warehouse
from dags_examples.demo.local_asapp import LocalAsapp, local_asapp
from dags_examples.demo.processes import leave_on_sigterm

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DAGS = Path(__file__).parents[1]
HOME = DAGS.parent / ".demo"
WAREHOUSE = HOME / "warehouse.db"
REJECTS = HOME / "rejects"

DAG_ID = "conversation_metadata"
TASK_ID = "push_conversations"
DAY = warehouse.DAYS[1]
RUN_ON = DAY + timedelta(days=1)  # a day's run begins when the day is over

NEXT = f"""
What next
---------
  The rejected rows, whole: .demo/rejects
  The DAG to copy: dags_examples/{DAG_ID}.py with dags_examples/sql/{DAG_ID}.sql
  Your own DAG before ASAPP has given you access:
    .venv/bin/python -m airflow_provider_asapp.simulator --port 8080
    and a connection `asapp_default` of the type ASAPP with the API domain http://127.0.0.1, the Port 8080, the
    API Id demo-api-id and the API Secret demo-api-secret; the page http://127.0.0.1:8080 shows what has arrived.
  All that the demo made goes with `make clean`."""


def main() -> int:
    """Run the demo and return its exit code."""
    began = time.monotonic()
    leave_on_sigterm()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # for a pipe, too
    if HOME.exists():
        shutil.rmtree(HOME)
    HOME.mkdir()
    print("One day of conversations, from a warehouse to ASAPP\n")
    try:
        with local_asapp(HOME / "simulator.log") as asapp:
            code = run_and_tell(asapp)
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130
    print(f"\n{'Done' if code == 0 else 'Failed'} in {time.monotonic() - began:.0f} s.")
    return code


def run_and_tell(asapp: LocalAsapp) -> int:
    """Take all steps; the first that fails says so and gives the exit code."""
    env = airflow_cli.environment(
        home=HOME / "airflow", dags=DAGS, warehouse=WAREHOUSE, asapp_url=asapp.url, rejects=REJECTS
    )
    prepare(asapp, env)
    if code := run_dag(env):
        print(f"\nThe run failed (exit code {code}): the lines above say why.")
        return code
    report = airflow_cli.returned(HOME / "airflow", TASK_ID)
    tell(report, asapp)
    problems = telling.disagreements(
        report, ended=warehouse.count_ended(WAREHOUSE, DAY), held=held(asapp), kept=len(rejected())
    )
    for problem in problems:
        print(f"\nWRONG: {problem}")
    if problems:
        return 1
    print("\nThe warehouse, the report, the rejects and the simulator's own count agree.")
    print(NEXT)
    return 0


def prepare(asapp: LocalAsapp, env: Mapping[str, str]) -> None:
    """Build the warehouse while Airflow makes its own database, and say what stands where."""
    print(f"  ASAPP       {asapp.url}: the local simulator, nothing leaves this machine")
    with airflow_cli.migrating(env):
        warehouse.build(WAREHOUSE)
        days = f"{len(warehouse.DAYS)} days of conversations, as messy as real ones"
        print(f"  warehouse   {shown(WAREHOUSE)}: {days} ({warehouse.count_ended(WAREHOUSE, DAY):,} on {DAY})")
        airflow = f"{version('apache-airflow')}, with a home of its own in {shown(HOME / 'airflow')}"
        print(f"  Airflow     {airflow} (takes a while to start, here and below)")


def run_dag(env: Mapping[str, str]) -> int:
    """Run the DAG as a person would, show its log as it comes, and return its exit code."""
    print(telling.title(f"airflow dags test {DAG_ID} {RUN_ON}"))
    return airflow_cli.test_dag(DAG_ID, RUN_ON, env, say=lambda line: print(telling.of_log(line)))


def tell(report: Mapping[str, Any], asapp: LocalAsapp) -> None:
    """Print what a person wants to know the morning after."""
    rejects = rejected()
    show(f"The report: what became of the conversations of {DAY}", telling.of_report(report, DAY))
    show(f"Rejected: {len(rejects)} rows, each with all that is wrong with it", telling.of_rejects(rejects))
    show(f"At ASAPP: {held(asapp):,} conversations, one of which is", telling.of_conversation(sample(asapp)))


def show(heading: str, lines: Iterable[str]) -> None:
    """Print a part of the story."""
    print(telling.title(heading), *lines, sep="\n")


def shown(path: Path) -> Path:
    """Return the path as seen from the repository."""
    return path.relative_to(DAGS.parent)


def rejected() -> list[dict[str, Any]]:
    """Return the rejected rows, in the order of the source."""
    return [json.loads(line) for path in sorted(REJECTS.rglob("*.jsonl")) for line in path.read_text().splitlines()]


def sample(asapp: LocalAsapp) -> dict[str, Any]:
    """Return a conversation that says much: of the first hundred the one with the most fields."""
    return max(asapp.get("/simulator/received/conversation?limit=100")["items"], key=len)


def held(asapp: LocalAsapp) -> int:
    """Return the simulator's own count of what it holds."""
    return int(asapp.get("/simulator/received")["entities"]["conversation"]["held"])


if __name__ == "__main__":
    sys.exit(main())
