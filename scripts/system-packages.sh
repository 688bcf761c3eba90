#!/bin/bash
# Installs what pip cannot: nginx, libuv (socketify loads it), wrk (the load of `make bench` at saturation), valgrind (with
# which `make test` counts instructions), PostgreSQL (for the ledger's tests), a C compiler and Python's venv module. Does
# nothing when they are there.
# Reads $PYTHON: the Python that .venv is made with.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

missing=()
command -v nginx >/dev/null || missing+=(nginx)
command -v wrk >/dev/null || missing+=(wrk)
command -v valgrind >/dev/null || missing+=(valgrind)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
# For the compiled part of the intake (python -m engine build).
echo '#include <stdlib.h>' | "${CC:-cc}" -E - >/dev/null 2>&1 || missing+=(gcc libc6-dev)
"$PYTHON" -c 'import ctypes; ctypes.CDLL("libuv.so.1")' 2>/dev/null || missing+=(libuv1)
"$PYTHON" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "setup: install ${missing[*]} (Debian's names) with this system's package manager, then try again" >&2
    exit 1
fi
root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "setup: as root: apt-get install ${missing[*]}; then try again" >&2
        exit 1
    }
    root=(sudo)
fi

# Debian starts a service that it installs, and nginx would take port 80. A policy that says no (exit code 101) keeps it
# from starting now; the engine runs an nginx of its own, and tests their own PostgreSQL, so both services are switched off
# for later starts too.
policy=/usr/sbin/policy-rc.d
if [[ " ${missing[*]} " =~ \ (nginx|postgresql)\  && ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
    trap '"${root[@]}" rm -f "$policy"' EXIT
    "${root[@]}" chmod 755 "$policy"
fi
echo "setup: installing ${missing[*]}"
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
for service in nginx postgresql; do
    [[ " ${missing[*]} " != *" $service "* ]] || "${root[@]}" update-rc.d $service disable >/dev/null 2>&1 || true
done
