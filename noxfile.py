"""The versions that are tested together: `make test-all`, or one pair with `nox -s "versions(airflow-2.11)"`.

The two pairs with the newest Airflow run the whole suite, the others all that Airflow, Python or marshmallow changes.
"""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
# A pair that could not run must not look as if it had.
nox.options.error_on_missing_interpreters = True

CHANGED_BY_VERSIONS = [
    *("coercion", "fields", "list_fields", "schemas", "columns", "validation", "files", "transport"),
    *("hooks", "form", "provider_info", "operators", "transfers", "file_transfer", "sql", "quota_deferral"),
    *("seen", "assets", "house"),
]
TOLD = [
    "apache-airflow",
    "marshmallow",
    "apache-airflow-providers-common-sql",
    "apache-airflow-providers-common-compat",
]

PAIRS = {
    "airflow-2.11": ("3.11", ["apache-airflow==2.11.*", "marshmallow<4"], CHANGED_BY_VERSIONS),
    "airflow-3.1": ("3.12", ["apache-airflow==3.1.*"], CHANGED_BY_VERSIONS),
    "airflow-3.2": ("3.12", ["apache-airflow==3.2.*"], CHANGED_BY_VERSIONS),
    "airflow-3.3": ("3.13", ["apache-airflow==3.3.*"], []),
    "lowest": ("3.11", ["apache-airflow==3.3.*", "--resolution=lowest-direct"], []),
}


@nox.session
@nox.parametrize(("python", "packages", "tests"), [nox.param(*pair, id=name) for name, pair in PAIRS.items()])
def versions(session: nox.Session, packages: list[str], tests: list[str]) -> None:
    """Run the suite, or what versions can change of it."""
    session.install("--editable", ".", "--group", "test", *packages)
    session.run(
        "python", "-c", f"from importlib.metadata import version\nfor name in {TOLD}: print(name, version(name))"
    )
    # -rs: what an older Airflow lacks is skipped by name, and told.
    session.run("pytest", "-rs", "-p", "no:cacheprovider", *(f"tests/test_{name}.py" for name in tests))
