"""Fills in the page on which Airflow 2.11 adds a connection, as a browser would.

`python -m tests.form_2_11 FILE`: the file holds JSON, a list of filled-in forms. It is replaced by the page, and by
what Airflow answered to each.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ADD = "/connection/add"


def main(file: Path) -> None:
    """Show the page, and send each form."""
    from airflow.www.app import create_app

    browser = create_app(testing=True).test_client()
    page = browser.get(ADD).text
    answers = [browser.post(ADD, data=form, follow_redirects=True).text for form in json.loads(file.read_text())]
    file.write_text(json.dumps({"page": page, "answers": answers}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
