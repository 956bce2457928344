# `make demo` and `make test` need nothing but Python 3.11 or newer. The first call creates .venv and installs the
# pinned requirements; later calls start at once. PYTHON=python3.12 selects another interpreter.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DELETE_ON_ERROR:
.PHONY: help demo test style types layers sizes docs units format clean

help:
	@echo "make demo    train a small translator, translate with it, and score it"
	@echo "make test    check style, types, layers and documentation, and run every test"
	@echo "make docs    build the documentation into build/site"
	@echo "make format  format the code as 'make test' requires"
	@echo "make clean   remove .venv, build and all caches"

demo: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo/run.sh

test: style types layers sizes docs units

style: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports --no-logo

sizes: $(READY)
	$(BIN)/python scripts/sizes.py

docs: $(READY)
	$(BIN)/python scripts/reference.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

units: $(READY)
	$(BIN)/python -m pytest -rs -n auto

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	"tx needs Python 3.11 or newer, and '$(PYTHON)' is not; name one that is: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
