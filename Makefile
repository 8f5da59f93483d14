# The project's habits. Everything runs from the clone's own .venv, which `make setup` keeps current.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test test-quick check format docs clean
help: ## what each command does
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: .venv/current ## the virtual environment, made or brought up to date
.venv/current: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("RingMoE needs Python 3.11 or later; set PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group test --group check
	@touch $@

demo: setup ## simulate, pre-train, show: writes runs/demo/report.html
	$(BIN)/ringmoe demo --out runs/demo

test: setup ## all tests (under 15 minutes on two cores)
	$(BIN)/python -m pytest -n 2

test-quick: setup ## the tests that take seconds
	$(BIN)/python -m pytest -n 2 -m "not slow"

check: setup ## lint, format, types, import contract, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mkdocs build --strict --quiet --site-dir .site

format: setup ## format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## the documentation, served on this machine
	$(BIN)/mkdocs serve

clean: ## remove what the commands above made (not runs/)
	rm -rf .venv .site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
