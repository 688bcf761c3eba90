#!/bin/bash
# Makes this checkout ready to run: system packages, then .venv with the locked Python packages. Quick when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=$(scripts/find-python.sh)
export PYTHON
scripts/system-packages.sh
scripts/python-packages.sh
