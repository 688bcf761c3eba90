"""What the HTTP layer promises to handlers, whatever they do."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx

from tests.intake.engine import is_up, wait_until

PROGRAM = """
import signal, sys
from engine.intake import problem
from engine.intake.http import Http

def broken(_):
    raise RuntimeError("a secret of the inside")

def later(_):
    return broken_later

def broken_later():
    raise RuntimeError("a secret of the inside")

waiting = 0

def never(_):
    global waiting
    waiting += 1
    return lambda: None

http = Http()
http.route("GET", "/healthcheck", lambda _: problem.ALIVE)
http.route("GET", "/broken", broken)
http.route("GET", "/later", later)
http.route("GET", "/never", never)
http.route("GET", "/waiting", lambda _: problem.json_answer(str(waiting).encode()))
http.route_body("/body", 100, lambda _: None, broken)
http.route_body("/check", 100, broken, lambda _: problem.ALIVE)
signal.signal(signal.SIGTERM, lambda *_: http.stop())
http.serve(sys.argv[1], 0o600)
"""


def test_a_handler_that_raises_is_a_500_and_one_logged_line_and_the_loop_goes_on(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, path], stderr=subprocess.PIPE, text=True)
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://x") as client:
            wait_until(lambda: is_up(client), "the server")
            for response in (
                client.get("/broken"),
                client.get("/later"),
                client.post("/body", content=b"x"),
                client.post("/check", content=b"x"),
            ):
                assert response.status_code == 500
                assert response.headers["content-type"] == "application/problem+json"
                assert "secret" not in response.text
            assert client.get("/healthcheck").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert process.stderr is not None
        lines = process.stderr.read().splitlines()
        assert [line.split(":")[0] for line in lines] == ["/broken", "/later", "/body", "/check"]
        assert all("a secret of the inside" in line for line in lines)
    finally:
        process.kill()
        process.communicate()


def test_an_answer_that_is_still_awaited_at_a_stop_is_a_503(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, path])
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://x", timeout=10) as client:
            wait_until(lambda: is_up(client), "the server")
            answers: list[httpx.Response] = []
            thread = threading.Thread(target=lambda: answers.append(client.get("/never")))
            thread.start()
            with httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://x") as other:
                wait_until(lambda: other.get("/waiting").text == "1", "the request to wait")
            process.send_signal(signal.SIGTERM)
            thread.join()
            assert answers[0].status_code == 503
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.wait()
