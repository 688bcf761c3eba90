#!/bin/bash
# Prints the Python to build .venv with: $PYTHON, or the first one here that is 3.11 or newer.
set -euo pipefail
for python in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "$python"
        exit
    fi
done
echo "setup: Python 3.11 or newer is needed; install it, or name it: make setup PYTHON=/path/to/python" >&2
exit 1
