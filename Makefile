# Each target installs what it needs into .venv, again only when pyproject.toml or constraints.txt change.
.DEFAULT_GOAL := run
.PHONY: run serve test slow check bench format clean

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := .bench-venv/.ready

run: $(READY)  ## Draw the first picture: text to image on the embedded model
	@$(BIN)/safelight run text_to_image --out outputs

serve: $(READY)  ## Serve the canvas and the API; Ctrl-C stops it
	@$(BIN)/safelight serve

test: check  ## Run every check, then every test but the slow ones
	@$(BIN)/pytest -n 3 --dist worksteal

slow: $(READY)  ## Run the slow tests: true-size models, full-length trainings, full counts
	@$(BIN)/pytest -n 2 --dist worksteal -m slow

check: $(READY)  ## Check the format, the style, the types, and which package imports which
	@$(BIN)/ruff format --check --quiet engine nodes tests
	@$(BIN)/ruff check --quiet engine nodes tests
	@$(BIN)/mypy
	@$(BIN)/lint-imports > .venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }

format: $(READY)  ## Format the code, and correct what ruff can correct
	@$(BIN)/ruff format --quiet engine nodes tests
	@$(BIN)/ruff check --fix --quiet engine nodes tests

bench: $(READY) $(PEERS)  ## Measure against other engines; writes tests/bench/results.json
	@$(BIN)/python -m tests.bench

# The other engines have their own environment, so that their dependencies do not change those of Safelight.
$(PEERS): tests/bench/peers.txt constraints.txt
	@echo "Installing the other engines into .bench-venv (a minute, once) ..."
	@$(BIN)/python -m venv --without-pip .bench-venv
	@$(BIN)/python -m pip --python .bench-venv/bin/python install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --requirement tests/bench/peers.txt
	@touch $@

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Safelight needs Python 3.11 or newer. Name it, such as: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv 2> /dev/null || \
	  { $(PYTHON) -m venv --without-pip --clear .venv && \
	    $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; } || \
	  { echo "Python cannot create a virtual environment. On Debian: apt-get install python3-venv"; exit 1; }
	@echo "Installing into .venv (a few minutes, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:  ## Delete the environments, caches and outputs in this folder; the home folder stays
	rm -rf .venv .bench-venv outputs .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
