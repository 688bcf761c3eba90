# The engine's image: API processes, dispatcher and the simulated processors are commands of the one entry point.

FROM python:3.11-slim-bookworm AS packages
WORKDIR /build
COPY requirements-build.lock requirements.lock ./
# A venv without pip in it: the image's own pip installs from outside. socketify comes as source (with its library ready
# made inside) and requires setuptools, which only its command line uses. It also carries other systems' libraries,
# which are removed.
RUN python -m venv --without-pip /opt/venv && \
    pip="pip --disable-pip-version-check --no-cache-dir --python /opt/venv/bin/python" && \
    $pip install --quiet --require-hashes --only-binary :all: -r requirements-build.lock && \
    $pip install --quiet --require-hashes --only-binary :all: --no-binary socketify --no-build-isolation --use-pep517 \
        -r requirements.lock && \
    $pip uninstall --quiet --yes setuptools && \
    rm -f /opt/venv/lib/python3*/site-packages/socketify/*.dll /opt/venv/lib/python3*/site-packages/socketify/*darwin*

# The compiled part of the intake.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null
COPY engine engine
RUN python -m engine build

# What the ledger needs besides; only `ops` below has it.
FROM packages AS packages-ops
COPY requirements-ops.lock ./
RUN pip="pip --disable-pip-version-check --no-cache-dir --python /opt/venv/bin/python" && \
    $pip install --quiet --require-hashes --only-binary :all: --no-binary socketify -r requirements-ops.lock && \
    $pip uninstall --quiet --yes setuptools

FROM python:3.11-slim-bookworm AS runtime
# An empty named volume takes owner and mode from the image's directory at its mount point: hence the directories.
RUN apt-get update -qq && \
    apt-get install -y -qq --no-install-recommends libuv1 >/dev/null && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin engine && \
    install -d -o engine -g engine -m 750 /run/engine /var/lib/engine /var/lib/engine-console
WORKDIR /app
COPY engine engine
COPY --from=packages /build/engine/intake/libfastpath.so engine/intake/
# Compiled here, because a running container cannot write its own files.
RUN python -m compileall -q engine
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
ENTRYPOINT ["python", "-m", "engine"]

# With the ledger: docker-compose.ops.yml.
FROM runtime AS ops
COPY --from=packages-ops /opt/venv /opt/venv

# The contest's, and what a build without a target makes.
FROM runtime
COPY --from=packages /opt/venv /opt/venv
