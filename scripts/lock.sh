#!/bin/bash
# Writes the lock files anew from pyproject.toml. Versions stay as locked; `scripts/lock.sh --upgrade` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
    # --universal: one file for Python 3.11 to 3.13. The index's address is the user's own setting, not the project's.
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-emit-find-links --custom-compile-command "make lock" "$@"
}

compile pyproject.toml --extra dev --output-file requirements-dev.lock "$@"
compile pyproject.toml --constraint requirements-dev.lock --output-file requirements.lock
compile pyproject.toml --extra contest --extra ops --constraint requirements-dev.lock --output-file requirements-contest.lock
compile pyproject.toml --extra ops --constraint requirements-dev.lock --output-file requirements-ops.lock
compile --group build --constraint requirements-dev.lock --output-file requirements-build.lock
compile --group fuzz --constraint requirements-dev.lock --output-file requirements-fuzz.lock "$@"
