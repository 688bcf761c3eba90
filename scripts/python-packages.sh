#!/bin/bash
# scripts/python-packages.sh run|lab|dev: makes .venv and installs exactly the locked packages of that level, checked by
# hash. Does nothing when .venv has them already. Reads $PYTHON: the Python that .venv is made with.
set -euo pipefail
level=$1
declare -A lock=([run]=requirements-ops.lock [lab]=requirements-contest.lock [dev]=requirements-dev.lock)

# What .venv/installed-LEVEL has when .venv has the packages of that level.
wanted() {
    cat requirements-build.lock "${lock[$1]}" | sha256sum
}

# Whether .venv has the packages of the level, or of a higher one.
installed() {
    local higher=no each
    for each in run lab dev; do
        [ "$each" != "$level" ] || higher=yes
        [ $higher = no ] || [ "$(cat ".venv/installed-$each" 2>/dev/null)" != "$(wanted "$each")" ] || return 0
    done
    return 1
}

# The packages of a lock file, each once.
names_of() {
    sed -n 's/^\([A-Za-z0-9._-]*\)==.*/\1/p' "$1" | sort -u
}

# A venv with pip. `venv` alone takes 5 s of CPU for pip, most of it to compile what is never imported; to unpack the
# wheel that it would install is enough.
make_venv() {
    "$PYTHON" -m venv --clear --without-pip .venv
    .venv/bin/python - <<'PYTHON' || .venv/bin/python -m ensurepip >/dev/null
import ensurepip, pathlib, sysconfig, zipfile
places = pathlib.Path(ensurepip.__file__).parent / "_bundled", pathlib.Path("/usr/share/python-wheels")
wheels = sorted(wheel for place in places for wheel in place.glob("pip-*.whl"))
if not wheels:
    raise SystemExit(1)
zipfile.ZipFile(wheels[0]).extractall(sysconfig.get_path("purelib"))
PYTHON
}

# follow COUNT: shows on a terminal how far pip is, and nothing elsewhere; the errors of pip do not come here.
follow() {
    local count=$1 done=0 word name rest
    while read -r word name rest; do
        [ -t 1 ] || continue
        case $word in
            Collecting) done=$((done + 1)) ;;
            Requirement) done=$((done + 1)) name=${rest#satisfied: } name=${name%% *} ;;
            Building) name=${rest%% *} ;;
            Installing) name="writing the files" ;;
            *) continue ;;
        esac
        printf '\r\033[Ksetup: %d of %d packages (%s)' "$done" "$count" "${name%%[=<>]*}"
    done
    [ ! -t 1 ] || printf '\r\033[K'
}

# install LOCK: socketify comes as source only and is built with the locked setuptools, not with whatever is newest: what
# runs at installation is pinned too. Everything else must be a wheel.
install() {
    local names
    names=$(names_of "$1")
    .venv/bin/python -m pip --disable-pip-version-check install --require-hashes --no-deps --progress-bar off $compile \
        --only-binary "$(grep -vx socketify <<<"$names" | paste -sd,)" --no-build-isolation --use-pep517 -r "$1" |
        follow "$(wc -l <<<"$names")"
}

# beside LOCK OTHER: those requirements of OTHER, with their hashes, that LOCK does not have.
beside() {
    awk '/^[A-Za-z0-9]/ { keep = FNR == NR ? 0 : !($1 in had); if (FNR == NR) had[$1] } keep' "$1" "$2"
}

if .venv/bin/python -c '' 2>/dev/null && installed; then
    exit
fi
begin=$SECONDS
echo "setup: installing $(names_of "${lock[$level]}" | wc -l) Python packages (${lock[$level]}) into .venv"
.venv/bin/python -m pip --version >/dev/null 2>&1 || make_venv
# The few modules of the engine's packages that are imported are compiled by the import below.
compile=--compile
[ "$level" != run ] || compile=--no-compile
if [ "$level" = run ]; then
    # A newcomer waits for this: wheels are unpacked on one core while socketify is built on the other.
    beside requirements.lock "${lock[run]}" >.venv/wheels.lock
    install .venv/wheels.lock >/dev/null &
    install requirements-build.lock
    install requirements.lock
    wait $!
else
    install requirements-build.lock
    install "${lock[$level]}"
fi
.venv/bin/python -c 'import orjson, pycurl, socketify'
wanted "$level" >".venv/installed-$level"
echo "setup: installed in $((SECONDS - begin)) s"
