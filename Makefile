# Everything sets itself up in .venv; done again, it costs nothing until pyproject.toml or constraints.txt change.
.DEFAULT_GOAL := run
.PHONY: run test check bench format clean

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := .bench-venv/.ready

run: $(READY)  ## Draw the first picture: text to image on the embedded model
	@$(BIN)/safelight run graphs/text_to_image.json --out outputs

test: check  ## Every test, after every check
	@$(BIN)/pytest -n 2 --dist worksteal

check: $(READY)  ## Format, lint, types, and which package may import which
	@$(BIN)/ruff format --check --quiet engine nodes tests
	@$(BIN)/ruff check --quiet engine nodes tests
	@$(BIN)/mypy
	@$(BIN)/lint-imports > .venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }

format: $(READY)  ## Format the code and mend what ruff can mend
	@$(BIN)/ruff format --quiet engine nodes tests
	@$(BIN)/ruff check --fix --quiet engine nodes tests

bench: $(READY) $(PEERS)  ## Measure against peers in the same run; writes tests/bench/results.json
	@$(BIN)/python -m tests.bench

# Other engines live apart: what they bring along must not change what Safelight runs with.
$(PEERS): tests/bench/peers.txt constraints.txt
	@echo "Setting up .bench-venv with the peers (a minute, once) ..."
	@$(BIN)/python -m venv --without-pip .bench-venv
	@$(BIN)/python -m pip --python .bench-venv/bin/python install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --requirement tests/bench/peers.txt
	@touch $@

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Safelight needs Python 3.11 or newer; say which: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv 2> /dev/null || \
	  { $(PYTHON) -m venv --without-pip --clear .venv && \
	    $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; } || \
	  { echo "no virtual environment can be made; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "Setting up .venv (a few minutes, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:  ## Remove what was set up and made here, not your home folder's models and results
	rm -rf .venv .bench-venv outputs .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
