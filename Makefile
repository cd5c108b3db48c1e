# Every target works from a fresh clone: Python 3.11 or newer, git, make and a package index are all it takes.
PYTHON ?= python3
UV := .venv/bin/uv
PY := .venv/bin/python
SYNC := UV_PROJECT_ENVIRONMENT=.venv $(UV) sync --frozen --quiet

TEST_WORKERS ?= 2

HOURS ?= 1
SEED ?= 0

# Compiled modules are kept, whatever the shell says: a demo or a test run starts many processes, and each would compile for seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo up setup-demo test check soak bench setup setup-bench setup-server format

demo: ## two real models through the whole life cycle on a year of flights; leaves the state in demo/.yard
	@started=$$(date +%s) && $(MAKE) --no-print-directory setup-demo && $(PY) -m demo --started $$started

up: .venv/bin/uv ## opens the state that make demo left; ends on Ctrl-C
	@test -f demo/.yard/summary.json || { echo "demo/.yard holds no finished demo: run make demo first"; exit 1; }
	@cd demo && ../.venv/bin/yard up

test: setup ## every test, those against real PostgreSQL, Redis, S3 and Chromium included
	$(PY) -m pytest -n $(TEST_WORKERS) --dist loadgroup

check: setup ## format, lint, types, import contracts, budgets, docs; runs no tests
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/lint-imports
	$(PY) tools/budgets.py
	$(PY) tools/docs.py
	.venv/bin/mypy

soak: setup ## the long ones: faults, fuzzing, simulations and load for about HOURS=1, from SEED on
	$(PY) soak/run.py --hours $(HOURS) --seed $(SEED)

bench: setup-bench ## all benchmarks, peers included where they are installed; writes bench/results.json. FEAST=python adds Feast
	$(PY) bench/run.py $(if $(FEAST),--feast $(FEAST))

format: setup
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

setup: .venv/bin/uv ## everything that development and tests need
	@$(SYNC) --all-extras --group dev --group test --group demo

setup-bench: setup ## what the benchmarks need on top: peers that install in a moment
	@$(SYNC) --inexact --group bench

setup-demo: .venv/bin/uv ## what the demo needs
	@echo "installing Modelyard and a year of flights into .venv"
	@$(SYNC) --inexact --extra server --no-default-groups --group demo

setup-server: .venv/bin/uv ## what running it needs
	@$(SYNC) --inexact --extra server --no-default-groups

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
