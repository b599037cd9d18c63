"""What importing a module adds to parsing a DAG file: `python -m benchmarks.parsing MODULE JOB`.

On top of what every DAG file imports, in a new process; where a module brings in others, their time counts too.
"""

from __future__ import annotations

import sys
from importlib import import_module
from time import perf_counter

from airflow.sdk import DAG, BaseOperator  # noqa: F401 - what every DAG file has anyway

from benchmarks.job import answer


def main() -> None:
    """Import, and answer the milliseconds."""
    # Airflow has loaded the provider's info by now; what that costs shows only anew.
    for name in [name for name in sys.modules if name.partition(".")[0] == "airflow_provider_asapp"]:
        del sys.modules[name]
    started = perf_counter()
    import_module(sys.argv[-2])
    answer(milliseconds=(perf_counter() - started) * 1000)


if __name__ == "__main__":
    main()
