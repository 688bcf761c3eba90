"""nginx as docker-compose.ops.yml starts it: its own refusals are counted and its requests told, without `up`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.console import nginx_status
from engine.memory import metrics_layout
from engine.storage import mapping, pages
from engine.supervise import nginx
from tests.ops.test_rules import ROOT
from tests.system.client import client, wait_until
from tests.system.running import free_port

OPS = ROOT / "ops" / "nginx"
REFUSALS, SECRET, WAIT_S = 30, "SEEN-1", 60


def refuse(port: int, times: int = REFUSALS) -> None:
    """Requests for which there is no API process."""
    with client(port) as shop:
        for _ in range(times):
            assert shop.request("GET", f"/health?token={SECRET}").status == 503


def start(directory: Path, percent: int) -> tuple[subprocess.Popen[str], int]:
    """start.sh, with its directories below ``directory``."""
    port, etc = free_port(), directory / "etc"
    for made in (etc, directory / "run", directory / "log"):
        made.mkdir(exist_ok=True)
    places = {"/etc/nginx": str(etc), "/run/engine": str(directory / "run"), "/run/nginx-log": str(directory / "log")}
    for path in (ROOT / "nginx.conf", OPS / "watched.conf", OPS / "start.sh"):
        text = path.read_text().replace("listen 9999", f"listen {port}")
        for old, new in places.items():
            text = text.replace(old, new)
        (etc / path.name).write_text(text.replace("daemon off;", nginx.command("", "")[-1]))
    environment = os.environ | {"ENGINE_ACCESS_LOG_PERCENT": str(percent), "PATH": os.environ["PATH"] + ":/usr/sbin"}
    command = ["bash", str(etc / "start.sh")]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, text=True, start_new_session=True)
    wait_until(lambda: nginx_status.read(port, str(directory / "run")) is not None, WAIT_S, "nginx tells its state")
    return process, port


def stop(process: subprocess.Popen[str]) -> str:
    """Ends it; what it has said."""
    process.terminate()
    return process.communicate(timeout=WAIT_S)[1] or ""


@pytest.fixture
def named() -> Iterator[dict[str, str]]:
    """An engine's variables, of whose memory nothing is left."""
    made = {"ENGINE_NAME": f"test-{uuid.uuid4().hex[:12]}", "ENGINE_LOG_FORMAT": "json"}
    yield made
    mapping.remove_all(settings_module.read(made))


def test_the_file_is_what_the_code_makes() -> None:
    assert (OPS / "watched.conf").read_text() == nginx.watched(), "run .venv/bin/python -m engine.supervise.nginx"


@pytest.mark.skipif(not shutil.which("bash"), reason="start.sh is bash's")
def test_its_refusals_are_counted_and_its_requests_told_also_after_a_new_start_of_each(
    tmp_path: Path, named: dict[str, str]
) -> None:
    front, port = start(tmp_path, percent=100)
    reader = read(tmp_path, named)
    try:
        refuse(port)
        counted_is(named, REFUSALS)
        said = [json.loads(line) for line in stop(reader).splitlines()]
        refuse(port)  # nobody reads them now
        os.killpg(front.pid, signal.SIGKILL)  # its socket stays, and the next one starts all the same
        front.wait(WAIT_S)
        front, port = start(tmp_path, percent=0)
        reader = read(tmp_path, named)
        refuse(port)
        counted_is(named, 3 * REFUSALS)
    finally:
        stop(reader)
        stop(front)
    assert [line["status"] for line in said if line["event"] == "access"] == [503] * REFUSALS
    assert {line["process"] for line in said} == {"nginx-log"} and SECRET not in str(said)


def read(directory: Path, named: dict[str, str]) -> subprocess.Popen[str]:
    """The command that reads the log."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("ENGINE_")} | named
    command = [sys.executable, "-m", "engine", "nginx-log", "--file", str(directory / "log" / "requests.log")]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def counted_is(named: dict[str, str], expected: int) -> None:
    """Waits until so many refusals are counted."""
    segment = pages.open_to_write(settings_module.read(named))
    assert segment is not None
    at = metrics_layout.NGINX_AT + metrics_layout.NGINX_STATUSES[503]
    try:
        wait_until(lambda: segment.words[at] >= expected, WAIT_S, f"{expected} refusals are counted")
        assert segment.words[at] == expected
    finally:
        segment.close()
