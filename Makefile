# make demo   the whole way on a synthetic corpus, and its results      (about 4 minutes)
# make test   the tests, with coverage
# make check  style, types, import rules
# make test-versions   the tests with the oldest and newest dependencies, on Python 3.10 to 3.13
# Each sets up a virtual environment in .venv by itself.

PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.PHONY: demo test check test-versions clean

demo: .venv/installed
	$(BIN)/emohop demo demo

test: .venv/installed
	$(BIN)/python -m pytest -n auto --dist loadfile --cov --cov-report=term

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_project.py

test-versions: .venv/installed
	$(BIN)/python -m pip install --quiet uv
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/versions.py

clean:
	rm -rf .venv .versions demo

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("emohop needs Python 3.10 or newer: make PYTHON=python3.11" if sys.version_info < (3, 10) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
