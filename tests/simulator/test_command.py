"""The simulator as a command."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
import requests

from airflow_provider_asapp.simulator.__main__ import main

from .conftest import conversations

COMMAND = [sys.executable, "-W", "error", "-m", "airflow_provider_asapp.simulator"]
MANY = "/metadata-ingestion/v1/many-convo-metadata"


@contextmanager
def running(*options: str, end: signal.Signals = signal.SIGTERM):
    """Run the command on a free port; gives the process and the connection that it tells people to copy."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [*COMMAND, "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=buffered,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            introduction = [process.stdout.readline() for _ in range(4)]
            copied = re.fullmatch(r"export AIRFLOW_CONN_ASAPP_DEFAULT='(.*)'\n", introduction[3])
            assert copied, introduction
            yield process, json.loads(copied[1]), introduction
        finally:
            process.send_signal(end)
            process.wait(timeout=20)


def keys(connection: dict[str, str]) -> dict[str, str]:
    """The headers for a connection."""
    return {"asapp-api-id": connection["login"], "asapp-api-secret": connection["password"]}


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_until_it_is_told_to_end(end):
    """What it prints is enough to connect; a signal ends it quietly with exit code 0."""
    with running("--api-id", "me", "--api-secret", "s3", end=end) as (process, connection, introduction):
        assert connection["conn_type"] == "asapp"
        assert keys(connection) == {"asapp-api-id": "me", "asapp-api-secret": "s3"}
        health = requests.get(connection["host"] + "/v1/health", headers=keys(connection), timeout=10)
        assert health.json() == {"healthCheck": "SUCCESS"}
        page = introduction[1].split()[-1]
        assert requests.get(page, timeout=10).text.startswith("<!doctype html>")
    assert process.returncode == 0


def test_its_output_has_one_line_for_each_request():
    """After the introduction there is one short line for each request, and nothing on stderr."""
    with running() as (process, connection, _):
        requests.post(connection["host"] + MANY, json={"items": conversations(3)}, headers=keys(connection), timeout=10)
        assert process.stdout.readline().startswith(f"#1 POST {MANY} 200: 3 items, 3 accepted, 0 refused,")
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""


def test_the_options_do_what_they_say():
    """Limits, body length and faults can be given on the command line."""
    options = ["--fault", '{"requests": [1], "status": 503}', "--fault", '{"requests": [2], "status": 409}']
    limits = ["--daily-quota", "3", "--max-body-bytes", "200", "--latency", "0.02"]
    with running(*options, *limits) as (process, connection, _):
        with requests.Session() as session:
            session.headers.update(keys(connection))
            counts = [1, 1, 100, 1]
            statuses = [
                session.post(connection["host"] + MANY, json={"items": conversations(count)}, timeout=10).status_code
                for count in counts
            ]
        assert statuses == [503, 409, 413, 429]
        assert int(process.stdout.readline().split()[-2]) >= 20


def test_the_spike_limit_can_be_set():
    """With one request a second the second one comes too early, unless it took its time."""
    with running("--requests-per-second", "1") as (_, connection, _), requests.Session() as session:
        session.headers.update(keys(connection))
        url = connection["host"] + MANY
        assert 429 in [session.post(url, json={"items": [{}]}, timeout=10).status_code for _ in range(20)]


def test_a_port_in_use_is_one_sentence(capsys):
    """It says so and exits with 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 2
    assert capsys.readouterr() == ("", f"Cannot listen on 127.0.0.1:{port}: {os.strerror(errno.EADDRINUSE)}.\n")


def test_the_signals_work_again_afterwards():
    """As a function it leaves the signals as it found them."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        main(["--port", str(taken.getsockname()[1])])
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGINT, signal.SIGTERM}


@pytest.mark.parametrize(
    "options",
    [
        ["--fault", "{"],
        ["--fault", '{"statu": 1}'],
        ["--requests-per-second", "0"],
        ["--daily-quota", "-1"],
        ["--latency", "x"],
        ["--latency", "-1"],
        ["--latency", "nan"],
        ["--port", "70000"],
    ],
)
def test_a_wrong_option_is_named(capsys, options):
    """Exit code 2, and the message names the option."""
    with pytest.raises(SystemExit) as ended:
        main(["--port", "0", *options])
    assert ended.value.code == 2
    assert f"argument {options[0]}: " in capsys.readouterr().err


def test_another_host_than_loopback_is_warned_of():
    """Who opens it to others is told that it is plain HTTP, for fake data."""
    with running("--host", "0.0.0.0") as (process, _, _):  # noqa: S104
        assert "Fake data only" in process.stderr.readline()


def test_it_needs_no_airflow():
    """The simulator imports neither Airflow nor anything else of this package."""
    code = (
        "import sys, airflow_provider_asapp.simulator.__main__\n"
        "names = {name for name in sys.modules if name.startswith('airflow')}\n"
        "inside = 'airflow_provider_asapp.simulator'\n"
        "print(sorted(name for name in names if not name.startswith(inside)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "['airflow_provider_asapp']\n"
