# Every target first makes .venv and installs rlgrid there; all it needs is Python >= 3.11 with venv and pip.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist worksteal

.PHONY: help demo quick test test-all lint bench format clean
.SILENT:

help:
	echo "make demo     the main job in one minute: solve, train, watch, log"
	echo "make quick    check format, style and types, and run the quick tests: for while you work"
	echo "make test     run all tests that have to pass before a change is taken"
	echo "make test-all run the whole grid of agents and worlds too"
	echo "make lint     check format, style and types"
	echo "make bench    measure the speed of the core"
	echo "make format   format the code"
	echo "make clean    remove .venv and everything that was built or cached"

demo: $(INSTALLED)
	$(BIN)/rlgrid demo

quick test test-all: export SDL_VIDEODRIVER := dummy
quick test test-all: export SDL_AUDIODRIVER := dummy
# Python keeps what it has made of the tests' files; making it anew takes some seconds each time.
quick test test-all: export PYTHONDONTWRITEBYTECODE :=

quick: lint
	echo "Running the quick tests"
	$(PYTEST) -m "not slow and not grid"

test: $(INSTALLED)
	echo "Running the tests"
	$(PYTEST) -m "not grid"

test-all: $(INSTALLED)
	echo "Running the tests and the whole grid of agents and worlds"
	$(PYTEST)

lint: $(INSTALLED)
	echo "Checking format, style and types"
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

bench: $(INSTALLED)
	$(BIN)/python scripts/bench_core.py
	$(BIN)/python scripts/bench_learning.py

format: $(INSTALLED)
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix .

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so that an interrupted installation is taken up again.
$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and f"rlgrid needs Python 3.11 or newer; {sys.executable} is {v}")'
	echo "Installing rlgrid into .venv (once; a minute or two)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@
