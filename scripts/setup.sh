#!/bin/bash
# Makes this checkout ready to run: system packages, .venv with the locked Python packages, and the compiled part of the
# intake. Quick when everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=$(scripts/find-python.sh)
export PYTHON
scripts/system-packages.sh
scripts/python-packages.sh
.venv/bin/python -m engine build
