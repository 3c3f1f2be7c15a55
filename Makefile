# `make quickstart` trains and shows a tagger in two minutes; `make test` is what CI runs. Both make .venv first.

PYTHON ?= python3

# What pip is told to install as torch; constraints.txt has the version. On Linux the usual wheel brings CUDA along (some
# gigabytes). For the small one name the index of the CPU wheels: make quickstart TORCH="torch --index-url ADDRESS"
TORCH ?= torch

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: quickstart test lint format clean

quickstart: .venv/installed
	$(BIN)/python scripts/quickstart.py

# One process for each core, and one thread in each: two programs with as many threads as cores slow each other down.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find seqmodels tests scripts -name __pycache__ -prune -exec rm -rf {} +

# The files named `installed` record that a step is done, so that a second `make` does no work.
.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "Python 3.10 or later is needed, $(PYTHON) is older or missing; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	touch $@

.venv/installed: .venv/created pyproject.toml constraints.txt
	$(PIP) $(TORCH)
	$(PIP) --editable '.[plots,translation]'
	touch $@

.venv/installed-dev: .venv/installed
	$(PIP) --editable '.[dev]'
	touch $@
