# `make setup` installs; every other target asks for it first and it does nothing when all is there.
# Longer shell is in scripts/.

CONTEST_OPTIONS ?=
CHAOS_OPTIONS ?=
SCENARIO ?= short
FUZZ_SECONDS ?= 60

.PHONY: help setup run contest chaos test lock fuzz containers clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' Makefile

setup: ## system packages (nginx, libuv) and .venv with the locked Python packages
	@scripts/setup.sh

run: setup ## the engine and two simulated processors on this machine, until Ctrl-C
	.venv/bin/python -m engine up --simulate

contest: setup ## the contest against an engine that it starts; CONTEST_OPTIONS="--scenario short"
	.venv/bin/python -m engine contest --start $(CONTEST_OPTIONS)

chaos: setup ## two minutes of kill -9, bad networks and faults; CHAOS_OPTIONS="--seed 7 --kill-supervisor"
	.venv/bin/python -m engine chaos $(CHAOS_OPTIONS)

test: setup ## ruff, mypy and pytest
	.venv/bin/ruff check engine tests
	.venv/bin/mypy
	.venv/bin/python -m pytest

lock: setup ## write the lock files anew from pyproject.toml; UPGRADE=--upgrade for newer versions
	scripts/lock.sh $(UPGRADE)

fuzz: setup ## coverage-guided fuzzing of the payment parser; FUZZ_SECONDS=60
	.venv/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements-fuzz.lock
	mkdir -p build/fuzz
	.venv/bin/python -m tests.hostile.fuzz -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=build/fuzz/ build/fuzz

containers: setup ## the contest against the containers of docker-compose.yml; SCENARIO=short
	scripts/containers.sh $(SCENARIO)

clean: ## remove what setup, test and contest made here
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build contest-results
	find engine tests -name __pycache__ -type d -prune -exec rm -rf {} +
