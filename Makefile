# One obvious command for each job. Each sets up what it needs in .venv by itself.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all test-crash test-ui test-package bench bench-workers check format clean

demo: .venv/.ready  ## Run the sample DAG for one day: embedded warehouse, local simulator, real Airflow.
	$(BIN)/python -m dags_examples.demo

test: .venv/.ready  ## Run every test.
	$(BIN)/pytest

test-all: .venv/.nox-ready  ## Run every test on each supported Airflow, Python and set of dependencies; half an hour.
	rm -rf build/versions
	$(BIN)/nox

# For each seed so many kills of a running task.
KILLS ?= 7
SEEDS ?= 1 2 3
test-crash: .venv/.ready  ## Kill a real Airflow's task until it succeeds; takes some minutes.
	$(BIN)/python -m tests.crash --kills $(KILLS) --seeds $(SEEDS)

# PICTURES=1 replaces the pictures of the documents; otherwise they go to build/ui.
test-ui: .venv/.ui-ready  ## Do in a real browser, on a real Airflow, what a person does first; takes some minutes.
	@command -v chromium > /dev/null || command -v google-chrome > /dev/null || test $$(id -u) -ne 0 || \
		(apt-get --quiet --quiet update && apt-get --quiet --quiet --yes install chromium)
	$(BIN)/python -m tests.ui $(if $(PICTURES),--pictures docs/pictures)

# SELECTION="tests/test_house.py ..." runs so much of the suite against the installed wheel.
test-package: .venv/.package-ready  ## Build wheel and sdist, look into them, install them, test the installed wheel.
	$(BIN)/python -m tests.package $(SELECTION)

# QUICK=1 takes a minute or two, prints and writes nothing; without, docs/speed.md and docs/speed.png are written anew.
bench: .venv/.ready .venv-bench/.ready  ## Measure speed, cost and memory, side by side with other ways.
	$(BIN)/python -m benchmarks --python .venv-bench/bin/python $(if $(QUICK),--quick)

# WRITE=1 puts the table into docs/scaling.md.
bench-workers: .venv/.ready  ## Run the sample backfill on a real Airflow with 1, 2 and 4 workers; takes some minutes.
	$(BIN)/python -m benchmarks.workers $(if $(WRITE),--write)

check: .venv/.ready  ## Format, lint and types.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/.ready  ## Rewrite the code in the house's format.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove everything that the other targets made.
	rm -rf .venv .venv-bench .nox .demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/.ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable . --group dev
	touch $@

# Apart from .venv: what is compared must not choose versions for what is tested, nor be there by accident.
.venv-bench/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-bench/bin/uv pip install --quiet --python .venv-bench/bin/python --group bench
	touch $@

.venv/.nox-ready: .venv/.ready
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group nox
	touch $@

.venv/.package-ready: .venv/.ready
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group package
	touch $@

.venv/.ui-ready: .venv/.ready
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group ui
	touch $@
