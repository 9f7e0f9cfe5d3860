# Each target sets up .venv by itself: a machine needs Python 3.11 or newer, and make.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := uv==0.13.9
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help up demo test check bench faults

help: ## Show the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-7s %s\n", $$1, $$2 }'

up: $(READY) ## Start everything on this machine and stay in the foreground; Ctrl-C stops it
	@$(BIN)/meterstream up

demo: $(READY) ## Send a real trace through a stack of its own, recount it independently, compare
	@$(BIN)/meterstream demo --json

# Two processes, each with engines of its own; a file's tests stay together.
test: check ## Everything that `check` does, then every other test, on real engines
	@$(BIN)/pytest -n 2 --dist loadfile -m "not long" $(addprefix tests/,contract integration browser e2e faults)

check: $(READY) ## Style, types, layers and unit tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -q -n auto tests/unit

bench: $(READY) ## Measure, one JSON line per figure
	@$(BIN)/meterstream bench --json

faults: $(READY) ## The long fault tests: kills, restarts and floods under load, then a recount
	@$(BIN)/pytest -m "faults" --timeout=3600

# The stamp is newer than the lock once everything in it is installed, so that this costs nothing the second time.
$(READY): requirements.lock requirements.contract.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(UV)'
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements.contract.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@
