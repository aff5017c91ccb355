# Everything here makes its own virtual environment first and installs the pinned versions.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo test test-all check format bench bench-train clean
help:           ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/'

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "archsmith needs Python 3.11 or newer; $$($(PYTHON) --version) was found. Set PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

setup: $(STAMP) ## make the virtual environment

demo: $(STAMP)  ## search, train and export a code model on this Python's own library, about ten minutes
	$(BIN)/archsmith demo --output-dir demo-output

test: $(STAMP)  ## the default tests, under five minutes on two cores
	$(BIN)/python -m pytest -n 2

test-all: $(STAMP) ## every test that needs no GPU
	$(BIN)/python -m pytest -n 2 -m "not gpu" --timeout 1800

check: $(STAMP) ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## rewrite files in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: bench-train ## training speed beside its peers, and search overhead
	$(BIN)/python benchmarks/search_overhead.py

BENCH := build/bench

bench-train: $(STAMP) ## training beside its peers, about 25 minutes of one quiet core: whole updates and what they are spent on, time to a loss, layers of experts, a candidate's start
	@echo "about 5 + 2 + 12 + 2 + 1 minutes; what is found goes to $(BENCH)"
	mkdir -p $(BENCH)
	$(BIN)/python benchmarks/train_speed.py --output $(BENCH)/train_speed.json
	$(BIN)/python benchmarks/step_breakdown.py --output $(BENCH)/step_breakdown.json
	$(BIN)/python benchmarks/time_to_loss.py --output $(BENCH)/time_to_loss.json --runs $(BENCH)/runs.jsonl
	rm $(BENCH)/runs.jsonl  # kept for a second start after an interruption only
	$(BIN)/python benchmarks/moe_layer.py --quick --output $(BENCH)/moe_layer.json
	$(BIN)/python benchmarks/candidate_start.py --json > $(BENCH)/candidate_start.json
	$(BIN)/python benchmarks/results/table.py $(BENCH)

clean:          ## remove what the targets above made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
