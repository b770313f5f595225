# make install   .venv with the allmende command in it
# make demo      three participants, one contract, one query, one job
# make test      what the tests need, then the tests
# make check     style, types, layers
# make bench     the benchmark page; only some of it: make bench PARTS="start query"
# make interop   our connector and a real EDC, each in both roles; needs Java 17 and Maven
# make acro      somebody else's disclosure checker judges the tables that we judge; half a gigabyte
# make verify-thirdparty   somebody else's software verifies our evidence; needs Node.js 20
# make tck       the official test suite of the Dataspace Protocol; needs Java 17 and Maven
# Another interpreter: make install PYTHON=python3.13

PYTHON ?= python3
UV ?= uv
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ACRO := .venv-acro
LOCK := $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet

.PHONY: install demo test check bench tck interop acro verify-thirdparty lock clean
.DELETE_ON_ERROR:

install: $(VENV)/.installed

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Allmende needs Python 3.11 or newer, and $(PYTHON) is older or missing." \
	       "Name another one: make install PYTHON=python3.13" >&2; exit 1; }
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml requirements.txt requirements-build.txt
	@echo "Installing Allmende into $(VENV)"
	@$(PIP) install --require-hashes -r requirements.txt -r requirements-build.txt
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@echo "Installing what the tests need"
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

demo: install
	@$(BIN)/allmende demo

test: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

tck: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.tck.run

# One version alone: make interop EDC=0.14.0
interop: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.interop.run $(if $(EDC),--edc $(EDC))

# acro needs older libraries than ours, so it has an environment of its own.
$(ACRO)/.installed: requirements-acro.txt | $(VENV)/.created
	@echo "Installing the SACRO checker acro into $(ACRO)"
	@$(BIN)/python -m venv $(ACRO)
	@$(ACRO)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements-acro.txt
	@touch $@

# Where the variable is set, the tests compare or fail, and cannot skip.
acro: $(VENV)/.installed-dev $(ACRO)/.installed
	@ALLMENDE_ACRO_PYTHON="$(CURDIR)/$(ACRO)/bin/python" $(BIN)/python -m pytest -rP tests/conformance/test_acro.py

verify-thirdparty: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.thirdparty.run

bench: install
	@$(BIN)/python -m bench.run $(PARTS)

# Only after a change of pyproject.toml or a requirements-*.in; needs uv.
# The locks hold for every platform and name no package index.
lock:
	$(LOCK) pyproject.toml --output-file requirements.txt
	$(LOCK) pyproject.toml --extra postgres --constraint requirements.txt --output-file requirements-postgres.txt
	$(LOCK) pyproject.toml --extra dev --constraint requirements.txt --output-file requirements-dev.txt
	$(LOCK) requirements-build.in --constraint requirements-dev.txt --output-file requirements-build.txt
	$(LOCK) requirements-acro.in --output-file requirements-acro.txt

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -not -path './$(ACRO)/*' -prune -exec rm -rf {} +
