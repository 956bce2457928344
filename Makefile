# `make demo` and `make test` need nothing but Python 3.11 or newer: the first of them makes .venv and installs
# the pinned requirements into it, and both are ready at once from then on. PYTHON=python3.12 picks another one.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DELETE_ON_ERROR:
.PHONY: help demo test style types layers sizes units format clean

help:
	@echo "make demo    train a small translator, translate with it, and score it"
	@echo "make test    check style, types and layers, and run every test"
	@echo "make format  put the code into the form that 'make test' asks for"
	@echo "make clean   remove .venv and everything tools have cached"

demo: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo/run.sh

test: style types layers sizes units

style: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports --no-logo

sizes: $(READY)
	$(BIN)/python scripts/sizes.py

units: $(READY)
	$(BIN)/python -m pytest -rs -n auto

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	"tx needs Python 3.11 or newer, and '$(PYTHON)' is not; name one that is: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
