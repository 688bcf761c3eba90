#!/bin/bash
# scripts/setup.sh [run|lab|dev]: makes this checkout ready: system packages, .venv with the locked Python packages, and
# the compiled part of the intake. Quick when everything is there. Each level has what the one before has:
#   run  what the engine needs
#   lab  what the laboratory needs besides (contest, tune, chaos, soak, bench): `make setup`
#   dev  what tests and checks need besides
# All levels share one .venv, which is upgraded in place.
set -euo pipefail
cd "$(dirname "$0")/.."
level=${1:-lab}
case $level in run | lab | dev) ;; *) echo "setup: no level $level" >&2 && exit 2 ;; esac
PYTHON=$(scripts/find-python.sh)
export PYTHON
scripts/system-packages.sh "$level"
# At the same time: it needs no package, and there is a second core nearly everywhere.
"$PYTHON" -m engine build &
scripts/python-packages.sh "$level"
wait $!
