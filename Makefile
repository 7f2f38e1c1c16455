# Every target sets up what it needs. `make` alone prints this help.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# T= narrows a test run to a path, K= to an expression.
T ?= tests
K ?=
STAMP  := $(VENV)/.installed
# What is measured beside Concord stands in an environment of its own.
PEERS  := .venv-peers
ROUNDS ?=
LOCK    = $(BIN)/pip-compile --quiet --allow-unsafe --generate-hashes --strip-extras --no-emit-index-url \
	  --no-emit-trusted-host --no-emit-find-links
# What .venv has, and the extra for traces beside it: that stays out of the pinned dependencies.
OTEL   := .venv-otel
TRACED := tests/unit/exchange/runtime/test_tracing.py tests/integration/test_traced_path.py
# Images for containers often set it: then each of the hundreds of processes of a test run compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: crash help setup demo test test-tracing fmt lint types generate generate-check docs-check check tested bench bench-all bench-peers chaos lock audit clean

help:            ## print this help
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/:/' | awk -F': *' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(STAMP)  ## create .venv with the pinned dependencies

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("error: Python 3.11 or newer is needed\nhint: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup      ## eight partners exchange real reports on this machine, in about a minute
	$(BIN)/concord demo

test: setup      ## run the tests (T=path, K=expression); ends with the 15 slowest
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --durations 15 -m "not long" $(T) $(if $(K),-k "$(K)")

$(OTEL)/.installed: requirements-otel.lock $(STAMP)
	$(PYTHON) -m venv --clear --without-pip $(OTEL)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $$(echo $(OTEL)/lib/python3*/site-packages)/beside.pth
	$(BIN)/pip --python $(OTEL)/bin/python install --quiet --disable-pip-version-check --require-hashes -r requirements-otel.lock
	@touch $@

test-tracing: $(OTEL)/.installed ## run the tests of traces, with the extra otel installed beside .venv
	$(OTEL)/bin/python -m pytest -q $(TRACED)

fmt: setup       ## format the code
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: setup      ## check format and lint rules
	$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: setup     ## check types (strict)
	$(BIN)/mypy

generate: setup  ## generate exchange/v1 and nodes/v1 from protos/
	$(BIN)/python protos/generate.py

generate-check: setup ## fail when generated code differs from protos/
	$(BIN)/python protos/generate.py --check

docs-check: setup ## check that commands, settings, errors and links in the docs are real
	$(BIN)/pytest -q tests/test_docs.py

check: setup     ## everything that CI runs (the docs check is among the tests)
	$(MAKE) --jobs 2 lint types generate-check tested

# Tests that start processes share the cores with all others: what fails is run once more, alone, and must pass then.
tested: setup
	$(MAKE) test || $(BIN)/pytest --last-failed --last-failed-no-failures none
	$(MAKE) test-tracing

bench: setup     ## every figure as one table, beside what must be and what should be; ROUNDS=n for more or fewer
	$(BIN)/python -m benchmarks $(if $(ROUNDS),--rounds $(ROUNDS))

bench-all: setup ## the same with backlogs of 100,000: most of an hour
	$(BIN)/python -m benchmarks --all $(if $(ROUNDS),--rounds $(ROUNDS))

bench-peers: setup $(PEERS)/.installed  ## fetch NATS JetStream and OpenTAXII and measure Concord beside them (needs network once)
	$(BIN)/python -m benchmarks.peers $(if $(ROUNDS),--rounds $(ROUNDS))

$(PEERS)/.installed: benchmarks/peers/requirements.lock
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --retries 2 --timeout 30 --require-hashes -r $< || \
	  { printf '%s\n' 'error: the peers could not be fetched' 'hint: this needs a package index that pip can reach, once' >&2; exit 1; }
	@touch $@

crash: setup     ## kill relay and nodes before and after each durable step, in twenty stories (ten minutes and more)
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m long tests/crash

chaos: setup     ## break ten nodes and two relays at random; nothing may be lost (S=seconds, usually 120; SEED= of an earlier run)
	$(BIN)/python -m tests.chaos --seconds $(or $(S),120) $(if $(SEED),--seed $(SEED))

lock: setup      ## resolve dependencies anew into the lock files
	$(LOCK) --extra dev --output-file requirements.lock pyproject.toml
	$(LOCK) --output-file benchmarks/peers/requirements.lock benchmarks/peers/requirements.in
	$(LOCK) --extra otel --constraint requirements.lock --output-file requirements-otel.lock pyproject.toml

audit: setup     ## look for known weaknesses in the pinned dependencies (needs network)
	$(BIN)/pip-audit --require-hashes -r requirements.lock
	$(BIN)/pip-audit --require-hashes -r requirements-otel.lock

clean:           ## remove the environments and caches
	rm -rf $(VENV) $(PEERS) $(OTEL) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
