#!/bin/bash
# scripts/system-packages.sh run|lab|dev: installs what pip cannot, by level (scripts/setup.sh). Does nothing when it is
# there. Reads $PYTHON: the Python that .venv is made with.
#   run  nginx, libuv (socketify loads it), a C compiler (the intake's compiled part), Python's venv module
#   lab  wrk, the load of `make bench` at saturation
#   dev  valgrind, with which `make test` counts instructions; PostgreSQL, for the ledger's tests; Prometheus, whose
#        promtool tries the alerts; Chromium, for the tests of the console's page
set -euo pipefail
level=$1
PATH=$PATH:/usr/sbin:/sbin

missing=()
command -v nginx >/dev/null || missing+=(nginx)
echo '#include <stdlib.h>' | "${CC:-cc}" -E - >/dev/null 2>&1 || missing+=(gcc libc6-dev)
"$PYTHON" -c 'import ctypes; ctypes.CDLL("libuv.so.1")' 2>/dev/null || missing+=(libuv1)
"$PYTHON" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
[ "$level" = run ] || command -v wrk >/dev/null || missing+=(wrk)
[ "$level" != dev ] || command -v valgrind >/dev/null || missing+=(valgrind)
[ "$level" != dev ] || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
[ "$level" != dev ] || command -v chromium >/dev/null || missing+=(chromium fonts-dejavu-core)
[ "$level" != dev ] || command -v promtool >/dev/null || missing+=(prometheus)
[ ${#missing[@]} -gt 0 ] || exit 0

# give_up WHY: says what to install, for somebody who can.
give_up() {
    echo "setup: ${missing[*]} (Debian's names) must be installed, and $1. Have it done, then try again:" >&2
    echo "    apt-get install ${missing[*]}" >&2
    exit 1
}

command -v apt-get >/dev/null || give_up "this system has no apt-get but another package manager"
root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || give_up "only root may do that; there is no sudo"
    sudo -n true 2>/dev/null || [ -t 0 ] || give_up "only root may do that; sudo wants a password and there is no terminal"
    root=(sudo)
    echo "setup: sudo apt-get install ${missing[*]}"
    sudo -v || give_up "only root may do that; sudo refuses"
fi

# Debian starts a service that it installs, and nginx would take port 80. A policy that says no (exit code 101) keeps it
# from starting now; the engine runs an nginx of its own, tests their own PostgreSQL, and of Prometheus only promtool is
# needed, so these services are switched off for later starts too.
policy=/usr/sbin/policy-rc.d
if [[ " ${missing[*]} " =~ \ (nginx|postgresql|prometheus)\  && ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
    trap '"${root[@]}" rm -f "$policy"' EXIT
    "${root[@]}" chmod 755 "$policy"
fi
echo "setup: installing ${missing[*]}"
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
for service in nginx postgresql prometheus; do
    [[ " ${missing[*]} " != *" $service "* ]] || "${root[@]}" update-rc.d $service disable >/dev/null 2>&1 || true
done
