"""The simulator as a command."""

from __future__ import annotations

import argparse
import ipaddress
import json
import signal
import sys
from typing import TYPE_CHECKING

from .contract import REQUESTS_PER_SECOND
from .faults import Fault
from .simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENDED_BY = {signal.SIGINT, signal.SIGTERM}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C or SIGTERM.

    :param arguments: by default those of the command line.
    :return: exit code: 0, or 2 if the address can't be had.
    """
    given = _parser().parse_args(arguments)
    # The signals are awaited, not handled: no handler runs in the middle of something. Set before the threads
    # start, which inherit it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDED_BY)
    try:
        return _run(given)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(given: argparse.Namespace) -> int:
    simulator = Simulator(
        api_id=given.api_id,
        api_secret=given.api_secret,
        host=given.host,
        port=given.port,
        requests_per_second=given.requests_per_second,
        daily_quota=given.daily_quota,
        latency=given.latency,
        max_body_bytes=given.max_body_bytes,
        log=_say,
    )
    simulator.misbehave(*given.fault)
    try:
        simulator.start()
    except OSError as error:
        sys.stderr.write(f"Cannot listen on {given.host}:{given.port}: {error.strerror or error}.\n")
        return 2
    _introduce(simulator)
    signal.sigwait(_ENDED_BY)
    simulator.stop()
    return 0


def _introduce(simulator: Simulator) -> None:
    if not _is_loopback(simulator.host):
        sys.stderr.write(f"Warning: {simulator.host} is open to others, over plain HTTP. Fake data only.\n")
    connection = json.dumps(
        {
            "conn_type": "asapp",
            "host": simulator.url,
            "login": simulator.api_id,
            "password": simulator.api_secret,
        }
    )
    _say(f"ASAPP simulator at {simulator.url}")
    _say(f"What it received:  {simulator.url}/")
    _say("Airflow connection:")
    _say(f"export AIRFLOW_CONN_ASAPP_DEFAULT='{connection}'")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _say(line: str) -> None:
    # At once and in one write: into a pipe it would wait for a full buffer, and threads would mix their lines.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_asapp.simulator",
        description="A local ASAPP for trying DAGs and for tests. Plain HTTP: for fake data only.",
    )
    option = parser.add_argument
    option("--port", type=_port, required=True, metavar="N", help="0 takes a free one")
    option("--host", default="127.0.0.1", help="default: %(default)s")
    option("--api-id", default="demo-api-id", help="default: %(default)s")
    option("--api-secret", default="demo-api-secret", help="default: %(default)s")
    option(
        "--requests-per-second",
        type=_above_zero,
        default=REQUESTS_PER_SECOND,
        metavar="N",
        help="more are answered with 429; default: %(default)s",
    )
    option("--daily-quota", type=_above_zero, metavar="N", help="more in a UTC day are answered with 429")
    option("--latency", type=_seconds, default=0.0, metavar="S", help="seconds before each answer")
    option("--max-body-bytes", type=_above_zero, metavar="N", help="longer bodies are answered with 413")
    option(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="JSON",
        help="""misbehave, such as '{"share": 0.1, "status": 503}'; may be given more than once""",
    )
    return parser


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError("must be between 0 and 65535")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 3600:  # also not for nan
        raise argparse.ArgumentTypeError("must be between 0 and 3600")
    return seconds


def _above_zero(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _fault(text: str) -> Fault:
    try:
        return Fault.from_json(json.loads(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
