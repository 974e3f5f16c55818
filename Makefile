# Each target installs what it needs into .venv, again only when pyproject.toml or constraints.txt change.
.DEFAULT_GOAL := run
.PHONY: run serve test slow e2e check bench format clean

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := .bench-venv/.ready
NODE := ui/node.sh
MODULES := ui/node_modules/.ready
PAGE := engine/server/static/index.html
UI_SOURCES := $(shell find ui/src ui/index.html ui/vite.config.ts -type f 2> /dev/null)

run: $(READY)  ## Draw the first picture: text to image on the embedded model
	@$(BIN)/safelight run text_to_image --out outputs

serve: $(READY) $(PAGE)  ## Serve the canvas and the API; Ctrl-C stops it
	@$(BIN)/safelight serve

test: check $(PAGE)  ## Run every check, then every test but the slow ones
	@$(BIN)/pytest -n 3 --dist worksteal
	@$(NODE) npm run --silent test
	@$(NODE) npm run --silent e2e -- --grep @fast

e2e: $(READY) $(PAGE)  ## Drive the canvas in a browser through every scenario
	@$(NODE) npm run --silent e2e

slow: $(READY)  ## Run the slow tests: true-size models, full-length trainings, full counts
	@$(BIN)/pytest -n 2 --dist worksteal -m slow

check: $(READY) $(MODULES)  ## Check the format, the style, the types, and which package imports which
	@$(BIN)/ruff format --check --quiet engine nodes tests
	@$(BIN)/ruff check --quiet engine nodes tests
	@$(BIN)/mypy
	@$(BIN)/lint-imports > .venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }
	@$(NODE) npm run --silent check

format: $(READY) $(MODULES)  ## Format the code, and correct what ruff can correct
	@$(BIN)/ruff format --quiet engine nodes tests
	@$(BIN)/ruff check --fix --quiet engine nodes tests
	@$(NODE) npm run --silent format

bench: $(READY) $(PEERS) $(PAGE)  ## Measure against other engines; writes tests/bench/results.json
	@$(BIN)/python -m tests.bench

$(MODULES): ui/package.json ui/package-lock.json | $(READY)
	@echo "Installing the packages of the canvas into ui/node_modules (once) ..."
	@$(NODE) npm ci --silent
	@touch $@

$(PAGE): $(UI_SOURCES) $(MODULES)
	@$(NODE) npm run --silent build

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
	rm -rf .venv .bench-venv ui/node_modules engine/server/static outputs .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
