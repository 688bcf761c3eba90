# `make setup` installs. Every other target runs it first; it does nothing when everything is there. Longer shell is in
# scripts/.

CONTEST_OPTIONS ?=
CHAOS_OPTIONS ?=
TUNE_OPTIONS ?= --vary ENGINE_DISPATCH_PAUSE_MS=2..16:x2 --seconds 20
BENCH_OPTIONS ?=
SOAK_OPTIONS ?= --minutes 5
SCENARIO ?= short
FUZZ_SECONDS ?= 60
# Tests that start no process, open no socket and take no time.
PURE = tests/test_house.py tests/test_settings.py tests/routing tests/dispatch tests/connectors tests/books tests/ring \
	--ignore tests/dispatch/test_transport.py --ignore tests/connectors/test_invented.py --ignore tests/ring/test_ids.py

.PHONY: help setup run contest chaos bench tune soak check test record-cost lock fuzz containers submission clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' Makefile

setup: ## system packages (nginx, libuv) and .venv with the locked Python packages
	@scripts/setup.sh

run: setup ## the engine and two simulated processors on this machine, until Ctrl-C
	.venv/bin/python -m engine up --simulate

contest: setup ## the contest against an engine that it starts; CONTEST_OPTIONS="--scenario short"
	.venv/bin/python -m engine contest --start $(CONTEST_OPTIONS)

chaos: setup ## two minutes of kill -9, bad networks and faults; CHAOS_OPTIONS="--seed 7 --kill-supervisor"
	.venv/bin/python -m engine chaos $(CHAOS_OPTIONS)

bench: setup ## the engine beside nginx that answers by itself (20 minutes); BENCH_OPTIONS="--rounds 1 --check"
	.venv/bin/python -m engine bench $(BENCH_OPTIONS)

tune: setup ## contests with different settings: which serve best; TUNE_OPTIONS="--vary NAME=1,2,4 --seconds 20"
	.venv/bin/python -m engine tune $(TUNE_OPTIONS)

soak: setup ## as many payments as it settles, for minutes or hours; SOAK_OPTIONS="--payments 5000000"
	.venv/bin/python -m engine soak $(SOAK_OPTIONS)

check: setup ## lint, types and the pure tests, in seconds
	.venv/bin/ruff check engine tests scripts
	.venv/bin/ruff format --check engine tests scripts
	.venv/bin/mypy
	.venv/bin/python -m pytest $(PURE)

test: setup ## what `make check` does, and all other tests
	.venv/bin/ruff check engine tests scripts
	.venv/bin/ruff format --check engine tests scripts
	.venv/bin/mypy
	.venv/bin/python -m pytest

record-cost: setup ## what a payment costs, in instructions, as the figure that `make test` holds against later changes
	.venv/bin/python -m tests.cost.recorded

lock: setup ## write the lock files anew from pyproject.toml; UPGRADE=--upgrade for newer versions
	scripts/lock.sh $(UPGRADE)

fuzz: setup ## coverage-guided fuzzing of the payment parser; FUZZ_SECONDS=60
	.venv/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements-fuzz.lock
	mkdir -p build/fuzz
	.venv/bin/python -m tests.hostile.fuzz -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=build/fuzz/ build/fuzz

containers: setup ## the contest against the containers of docker-compose.yml; SCENARIO=short
	scripts/containers.sh $(SCENARIO)

submission: setup ## the folder of a contest's entry; IMAGE=docker.io/you/payment-engine:1.0.0
	@.venv/bin/python -m scripts.submission

clean: ## remove what setup, test and contest made here
	rm -rf engine/intake/libfastpath.so .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build contest-results
	find engine tests -name __pycache__ -type d -prune -exec rm -rf {} +
