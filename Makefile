# The project's habits. Everything runs from the clone's own .venv, which `make setup` keeps current.
# `make PYTHON=python3.12 setup` makes it with that Python; otherwise python3 is taken.
BIN := .venv/bin
export NO_MKDOCS_2_WARNING := 1
PIP := $(BIN)/python -m pip --disable-pip-version-check
WORKERS ?= 2

.PHONY: help setup demo test test-quick check format docs clean
help: ## what each command does
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# The stamp is made last: an install that was interrupted is taken up again by the next command.
setup: .venv/current ## the virtual environment, made or brought up to date
ifdef PYTHON
ifneq ($(shell { $(BIN)/python -V; } 2>/dev/null),$(shell { $(PYTHON) -V; } 2>/dev/null))
.PHONY: .venv/current
endif
endif
.venv/current: pyproject.toml
	@tools/make_venv .venv $(PYTHON)
	@echo "Installing RingMoE and what it needs into .venv (the first time takes some minutes)"
	@$(PIP) install -qq --upgrade "pip>=25.1"
	@$(PIP) install -qq --editable . --group test --group check
	@touch $@

demo: setup ## simulate, pre-train, show: writes runs/demo/report.html
	$(BIN)/ringmoe demo --out runs/demo

test: setup ## all tests (under 15 minutes on two cores)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-quick: setup ## the tests that take seconds
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

check: setup ## lint, format, types, import contract, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/mkdocs build --strict --quiet --site-dir .site

format: setup ## format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## the documentation, served on this machine
	$(BIN)/mkdocs serve

clean: ## remove what the commands above made (not runs/)
	rm -rf .venv .site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
