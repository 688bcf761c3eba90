#!/bin/bash
# scripts/containers.sh [SCENARIO]: the contest against the containers of docker-compose.yml, with their limits in force.
# Builds the image, starts processors and engine, runs the contest, shows what the containers used, tries them with other
# volumes (tests/containers), removes everything. The exit code is 0 if contest and tests passed.
set -euo pipefail
cd "$(dirname "$0")/.."
scenario=${1:-short}
image=payment-engine:1.0.0
ready_seconds_max=60

fail() {
    echo "containers: $*" >&2
    exit 1
}

# answers URL: whether an HTTP server is there; any answer counts except a 5xx.
answers() {
    .venv/bin/python - "$1" 2>/dev/null <<'PYTHON'
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=1)
except urllib.error.HTTPError as error:
    sys.exit(error.code >= 500)
PYTHON
}

if docker info >/dev/null 2>&1; then
    tool=(docker)
    build=(docker build)
    compose=(docker compose)
elif command -v podman >/dev/null; then
    [ "$(id -u)" = 0 ] || fail "podman applies limits for root only: sudo make containers"
    tool=(podman)
    # The host's network, because podman's own may have no names; one layer, because some of its storage drivers copy
    # the whole image for each.
    build=(podman build --network host --layers=false)
    compose=(.venv/bin/podman-compose)
else
    fail "neither a running Docker engine nor podman is here; install one of them and try again"
fi
# Projects of their own, so that an engine that already runs from the same files keeps its containers and volumes.
project=contest-engine
engine=("${compose[@]}" -p $project -f docker-compose.yml)
processors=("${compose[@]}" -p contest-processors -f docker-compose.processors.yml)

remove_all() {
    "${engine[@]}" down --volumes --timeout 10
    "${processors[@]}" down --timeout 2
} >/dev/null 2>&1

trap 'set +e; remove_all' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
remove_all || true # what a run that was killed has left

for port in 8001 8002 9999; do
    ! answers "http://127.0.0.1:$port/" || fail "port $port is taken; stop what listens there (an engine?) and try again"
done
"${build[@]}" --quiet --tag $image .
"${processors[@]}" up -d --no-build
"${engine[@]}" up -d --no-build

deadline=$((SECONDS + ready_seconds_max))
for url in http://127.0.0.1:8001/ http://127.0.0.1:8002/ http://127.0.0.1:9999/healthcheck; do
    until answers "$url"; do
        if ((SECONDS > deadline)); then
            "${processors[@]}" logs >&2
            "${engine[@]}" logs >&2
            fail "$url did not answer within $ready_seconds_max s; what the containers said stands above"
        fi
        sleep 0.5
    done
done

code=0
.venv/bin/python -m engine contest --scenario "$scenario" || code=$?
"${tool[@]}" stats --no-stream $("${tool[@]}" ps -q --filter name=$project)

export CONTAINERS_TOOL=${tool[*]} CONTAINERS_COMPOSE=${engine[*]} CONTAINERS_PROJECT=$project
.venv/bin/python -m pytest tests/containers || code=$?
exit $code
