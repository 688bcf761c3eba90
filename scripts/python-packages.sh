#!/bin/bash
# Makes .venv and installs exactly the locked packages, checked by hash. Does nothing when .venv has them already.
# Reads $PYTHON: the Python that .venv is made with.
set -euo pipefail

stamp=.venv/installed
wanted=$(cat requirements-build.lock requirements-dev.lock | sha256sum)
if [ "$(cat $stamp 2>/dev/null)" = "$wanted" ] && .venv/bin/python -c '' 2>/dev/null; then
    exit
fi
echo "setup: installing the Python packages of requirements-dev.lock into .venv"
.venv/bin/python -m pip --version >/dev/null 2>&1 || "$PYTHON" -m venv --clear .venv
pip=(.venv/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes)
# Built with the locked setuptools, not with whatever is newest: what runs at installation is pinned too.
"${pip[@]}" --only-binary :all: -r requirements-build.lock
"${pip[@]}" --only-binary :all: --no-binary socketify --no-build-isolation --use-pep517 -r requirements-dev.lock
echo "$wanted" >$stamp
