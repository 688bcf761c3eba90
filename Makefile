# Every target runs a set-up first that does nothing when everything is there. Longer shell is in scripts/.

CONTEST_OPTIONS ?=
CHAOS_OPTIONS ?=
# Around the default, which is 60.
TUNE_OPTIONS ?= --vary ENGINE_DISPATCH_PAUSE_MS=15..240:x2 --seconds 20
BENCH_OPTIONS ?=
SOAK_OPTIONS ?= --minutes 5
SCENARIO ?= short
FUZZ_SECONDS ?= 60
N ?= 1
# Tests that start no process, open no socket and take no time.
PURE = tests/test_house.py tests/test_settings.py tests/routing tests/dispatch tests/connectors tests/books tests/ring \
	--ignore tests/dispatch/test_transport.py --ignore tests/connectors/test_invented.py --ignore tests/ring/test_ids.py

.PHONY: help setup setup-run setup-dev run status pay reset contest chaos bench tune soak check test record-cost lock fuzz \
	containers submission clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' Makefile

setup: ## installs what all but the tests needs: nginx, libuv and others, and .venv with the locked Python packages
	@scripts/setup.sh lab

# The engine with its ledger: a few seconds.
setup-run:
	@scripts/setup.sh run

# What only tests and checks need.
setup-dev:
	@scripts/setup.sh dev

# With ledger and console, which plain `up` has off.
run: setup-run ## the engine, its ledger and two simulated processors on this machine, until Ctrl-C
	@ENGINE_LEDGER=$${ENGINE_LEDGER-best} ENGINE_CONSOLE=$${ENGINE_CONSOLE-1} ./engine.sh up --simulate

status: setup-run ## how the engine is, in words
	@./engine.sh status

pay: setup-run ## pays as a shop would and says what became of it; N=100
	@./engine.sh pay $(N)

reset: setup-run ## forgets all payments of an engine that is not running
	@./engine.sh reset

contest: setup ## the contest against an engine that it starts; CONTEST_OPTIONS="--scenario short"
	./engine.sh contest --start $(CONTEST_OPTIONS)

chaos: setup ## two minutes of kill -9, bad networks and faults; CHAOS_OPTIONS="--seed 7 --kill-supervisor"
	./engine.sh chaos $(CHAOS_OPTIONS)

bench: setup ## the engine beside nginx that answers by itself (20 minutes); BENCH_OPTIONS="--rounds 1 --check"
	./engine.sh bench $(BENCH_OPTIONS)

tune: setup ## contests with different settings: which serve best; TUNE_OPTIONS="--vary NAME=1,2,4 --seconds 20"
	./engine.sh tune $(TUNE_OPTIONS)

soak: setup ## as many payments as it settles, for minutes or hours; SOAK_OPTIONS="--payments 5000000"
	./engine.sh soak $(SOAK_OPTIONS)

check: setup-dev ## lint, types and the pure tests, in seconds
	.venv/bin/ruff check engine tests scripts ops
	.venv/bin/ruff format --check engine tests scripts ops
	.venv/bin/mypy
	.venv/bin/python -m pytest $(PURE)

# A module is compiled once, and not by each of the processes that tests start.
test: export PYTHONDONTWRITEBYTECODE =
# While one core checks types, the other compiles the tests, which each worker would do for itself. A file of tests is run
# by one worker, so that what its tests share is made once.
test: setup-dev ## what `make check` does, and all other tests
	.venv/bin/ruff check engine tests scripts ops
	.venv/bin/ruff format --check engine tests scripts ops
	.venv/bin/mypy & .venv/bin/python -m pytest --collect-only -qq >/dev/null; wait $$!
	.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

record-cost: setup-dev ## what a payment costs, in instructions, as the figure that `make test` holds against later changes
	.venv/bin/python -m tests.cost.recorded

lock: setup-dev ## write the lock files anew from pyproject.toml; UPGRADE=--upgrade for newer versions
	scripts/lock.sh $(UPGRADE)

fuzz: setup-dev ## coverage-guided fuzzing of the payment parser; FUZZ_SECONDS=60
	.venv/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements-fuzz.lock
	mkdir -p build/fuzz
	.venv/bin/python -m tests.hostile.fuzz -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=build/fuzz/ build/fuzz

containers: setup-dev ## the contest against the containers of docker-compose.yml; SCENARIO=short
	scripts/containers.sh $(SCENARIO)

submission: setup ## the folder of a contest's entry; IMAGE=docker.io/you/payment-engine:1.0.0
	@.venv/bin/python -m scripts.submission

clean: ## remove what setup, test and contest made here
	rm -rf engine/intake/libfastpath.so .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build contest-results
	find engine tests -name __pycache__ -type d -prune -exec rm -rf {} +
