# One obvious command for each job. Each sets up what it needs in .venv by itself.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-crash bench check format clean

demo: .venv/.ready  ## Run the sample DAG for one day: embedded warehouse, local simulator, real Airflow.
	$(BIN)/python -m dags_examples.demo

test: .venv/.ready  ## Run every test.
	$(BIN)/pytest

# For each seed so many kills of a running task.
KILLS ?= 7
SEEDS ?= 1 2 3
test-crash: .venv/.ready  ## Kill a real Airflow's task until it succeeds; takes some minutes.
	$(BIN)/python -m tests.crash --kills $(KILLS) --seeds $(SEEDS)

# QUICK=1 takes a minute or two, prints and writes nothing; without, docs/speed.md and docs/speed.png are written anew.
bench: .venv/.ready .venv-bench/.ready  ## Measure speed, cost and memory, side by side with other ways.
	$(BIN)/python -m benchmarks --python .venv-bench/bin/python $(if $(QUICK),--quick)

check: .venv/.ready  ## Format, lint and types.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/.ready  ## Rewrite the code in the house's format.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove everything that the other targets made.
	rm -rf .venv .venv-bench .demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

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
