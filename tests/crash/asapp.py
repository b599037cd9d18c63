"""ASAPP's simulator as a process of its own, which hands over all that it received.

Run as a program it answers each line of its input with a line of JSON, and ends with its input.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Self

from airflow_provider_asapp.simulator import Simulator


@dataclass(frozen=True)
class Arrival:
    """A request that was accepted as a whole.

    :param time: of arrival.
    :param answered: when its answer left.
    :param event_ids: by key.
    """

    time: float
    answered: float
    event_ids: dict[str, str]


class Asapp:
    """The simulator's process; at its end `with` ends it.

    :param latency: seconds before each answer.
    """

    def __init__(self, latency: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(latency)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self.connection: dict[str, str] = self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()

    def reset(self) -> None:
        """Forget everything."""
        self._ask("reset")

    def arrivals(self) -> list[Arrival]:
        """Return what was accepted, in the order of arrival."""
        return [Arrival(**arrival) for arrival in sorted(self._ask("arrivals"), key=lambda it: it["time"])]

    def held(self) -> dict[str, dict[str, Any]]:
        """Return the latest accepted item of each key."""
        return self._ask("held")

    def counts(self) -> dict[str, Any]:
        """Return the simulator's own counts."""
        return self._ask("counts")

    def _ask(self, question: str) -> Any:
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        return json.loads(self._process.stdout.readline())


def _arrivals(asapp: Simulator) -> list[dict[str, Any]]:
    return [
        {
            "time": request.time,
            "answered": request.time + request.milliseconds / 1000,
            "event_ids": dict(zip(request.keys, request.event_ids, strict=True)),
        }
        for request in asapp.ledger.requests
        if request.accepted
    ]


def main() -> None:
    """Answer questions until the input ends."""
    answers = {
        "reset": lambda asapp: asapp.reset(),
        "arrivals": _arrivals,
        "held": lambda asapp: asapp.ledger.held("conversation"),
        "counts": lambda asapp: asapp.ledger.counts(),
    }
    with Simulator(latency=float(sys.argv[1])) as asapp:
        _say({"conn_type": "asapp", "host": asapp.url, "login": asapp.api_id, "password": asapp.api_secret})
        for question in sys.stdin:
            _say(answers[question.strip()](asapp))


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
