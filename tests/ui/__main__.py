"""Does in a real browser, on a real Airflow, what a person does in the first half hour: `python -m tests.ui`.

Airflow runs as its own processes with a log-in, ASAPP is the local simulator, the browser is Debian's Chromium.
`--pictures FOLDER` says where the pictures go. Ends with 1 at the first promise that is broken, and keeps a picture of
that moment.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from importlib.metadata import version
from pathlib import Path

from playwright.sync_api import Error

from dags_examples.demo.processes import leave_on_sigterm
from tests.ui import form, health, run
from tests.ui.stage import REPOSITORY, Stage, stage

BUILD = REPOSITORY / "build" / "ui"
# They build on each other.
STORY = (
    form.person_logs_in,
    form.form_is_ours,
    form.connection_is_added,
    form.what_was_typed_is_stored,
    form.secret_stays_secret,
    form.edit_changes_what_was_edited,
    run.run_is_triggered,
    run.run_succeeds,
    run.report_is_shown,
    run.log_is_shown,
    run.sql_is_shown,
    run.arrival_is_shown,
    health.command_tells_keys_apart,
    health.button_tells_keys_apart,
    health.button_needs_a_port,
    health.both_say_that_asapp_is_down,
)


def tell(on: Stage) -> bool:
    """Go through the story, say what was seen, and return whether all of it was as promised."""
    for chapter in STORY:
        promise = (chapter.__doc__ or "").partition("\n")[0]
        began = time.monotonic()
        try:
            chapter(on)
        except (AssertionError, Error):
            say(f"BROKEN: {promise}\n{traceback.format_exc()}")
            tell_more(on)
            return False
        say(f"  {promise} ({time.monotonic() - began:.0f} s)")
    return True


def tell_more(on: Stage) -> None:
    """Keep what the browser shows, and say what the tasks said last."""
    BUILD.mkdir(parents=True, exist_ok=True)
    picture = BUILD / "failure.png"
    on.page.screenshot(path=picture)
    say(f"The browser at that moment: {picture}")
    if on.run:
        say(on.airflow.last_words(on.run.id))


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Tell the story and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.ui")
    parser.add_argument("--pictures", type=Path, default=BUILD, help="default: %(default)s")
    pictures = parser.parse_args().pictures
    leave_on_sigterm()
    began = time.monotonic()
    with stage(pictures) as on:
        seconds = time.monotonic() - began
        say(f"Airflow {version('apache-airflow')}, the simulator and the browser are up after {seconds:.0f} s.")
        kept = tell(on)
    say(f"{'Seen' if kept else 'Broken'} in {time.monotonic() - began:.0f} s. Pictures: {pictures}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
