"""Testing connections, with Airflow's button and its command. Each chapter is a promise: its docstring's first line."""

from __future__ import annotations

from importlib.metadata import version

from tests.ui.browser import WIDE, resize
from tests.ui.form import assert_equal, filled
from tests.ui.pages import Connections
from tests.ui.stage import API_SECRET, GOOD, NO_PORT, WRONG, Stage

GOOD_TITLE, BAD_TITLE = "Test Connection Successful", "Test Connection Failed"
# Their button can't test a connection without a port: apache/airflow#73298.
PORT_NEEDED = ("3.3.1", "3.3.2")


def command_tells_keys_apart(on: Stage) -> None:
    """`airflow connections test` ends with 0 for the right keys, and says what is wrong with others."""
    done = on.airflow.run("connections", "test", GOOD)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Connection success!" in done.stdout, done.stdout
    told = failed_command(on, WRONG)
    assert wrong_keys(on) in told, told


def failed_command(on: Stage, conn_id: str) -> str:
    """Return what the command says about a connection that does not work, its lines joined."""
    done = on.airflow.run("connections", "test", conn_id)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Connection failed!" in done.stdout, done.stdout
    return " ".join(done.stdout.split())


def wrong_keys(on: Stage) -> str:
    """Return what must be said where ASAPP does not know the keys."""
    return f"{on.place} answered 401: the API Id or the API Secret is wrong, or belongs to ASAPP's other environment."


def button_tells_keys_apart(on: Stage) -> None:
    """The button says that the right keys are accepted, and what is wrong with others."""
    good = f"{on.place} (neither ASAPP's sandbox nor its production) is healthy and accepts these keys."
    assert_equal(press(on, GOOD, picture="connection-test"), (GOOD_TITLE, good))
    title, text = press(on, WRONG, picture="connection-test-wrong-keys")
    assert title == BAD_TITLE, title
    assert text.startswith(wrong_keys(on)), text


def press(on: Stage, conn_id: str, picture: str | None = None) -> tuple[str, str]:
    """Test a connection, in a window so small that the message comes up beside the list."""
    connections = Connections(on.page).go()
    resize(on.page, 1000, 490)
    title, text = connections.test(conn_id)
    if picture:
        on.album.take(picture, on.page, clip={"x": 64, "y": 110, "width": 936, "height": 380})
    resize(on.page, *WIDE)
    return title, text


def button_needs_a_port(on: Stage) -> None:
    """Without a port the button answers "Bad Request" on Airflow 3.3.1 and 3.3.2, and works on others."""
    filled(on, NO_PORT, API_SECRET, on.asapp.url).save()
    assert on.airflow.stored(NO_PORT)["port"] is None
    title, text = press(on, NO_PORT)
    if version("apache-airflow") in PORT_NEEDED:
        assert_equal((title, text), (BAD_TITLE, "Bad Request"))
    else:
        assert title == GOOD_TITLE, text


def both_say_that_asapp_is_down(on: Stage) -> None:
    """With ASAPP down, button and command say that it refuses connections."""
    on.stop_asapp()
    title, text = press(on, GOOD)
    down = f"{on.place} gave no usable answer: it refuses connections. Is the host right, and the service up?"
    assert_equal((title, text), (BAD_TITLE, down))
    told = failed_command(on, GOOD)
    assert down in told, told
