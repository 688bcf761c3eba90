#!/bin/sh
# The engine's commands, from any directory and through links: ./engine.sh up. Runs them with .venv, which `make` makes.
here=$(dirname "$(readlink -f "$0")")
python=$here/.venv/bin/python
if ! [ -x "$python" ]; then
    echo "engine: $python is missing; install it with: make -C $here setup" >&2
    exit 1
fi
# The processes that a command starts import the same code. -P: an `engine` in the working directory is not taken for it.
PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}
PYTHONSAFEPATH=1
export PYTHONPATH PYTHONSAFEPATH
exec "$python" -m engine "$@"
