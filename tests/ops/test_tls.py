"""TLS: what ops/nginx has for it is taken by nginx, and over it an answer has what it has without, and HSTS."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import uvicorn
import yaml

from engine import settings as settings_module
from engine.console import doors
from engine.console.api import PREFIX
from engine.console.app import Console
from engine.console.guard import HEADERS, HSTS
from engine.console.keys import Keys, Role
from engine.console.sessions import SECURE_COOKIE
from engine.supervise import alive, nginx
from engine.supervise.place import Place
from engine.supervise.pulse import Sign
from tests.ops.test_rules import ROOT
from tests.system.client import wait_until
from tests.system.running import free_port
from tests.test_nginx_conf import ON_EVERY_ANSWER, SHIPPED, Api

READY_SECONDS = 60.0
TAKEN = ROOT / "ops" / "nginx"
THERE = "/etc/nginx/engine.d"


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a certificate of localhost that it has signed itself, and its key."""
    place = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    files = ["-keyout", f"{place}/key.pem", "-out", f"{place}/certificate.pem"]
    subprocess.run(["openssl", "req", "-x509", *kind, *subject, *files], check=True, capture_output=True, timeout=30)
    return place


def serves(port: int) -> bool:
    return alive.listens(("127.0.0.1", port)) is Sign.SERVES


@contextlib.contextmanager
def running(conf: str, place: Path, *ports: int) -> Iterator[None]:
    """nginx with this configuration, which it takes without a warning."""
    path = place / "nginx.conf"
    path.write_text(conf)
    command = nginx.command(str(path), str(place))
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=10, check=False)
    assert checked.returncode == 0 and "[warn]" not in checked.stderr, checked.stderr
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for port in ports:
            wait_until(partial(serves, port), READY_SECONDS, "nginx")
        yield
    finally:
        process.terminate()
        process.wait(READY_SECONDS)


@pytest.fixture(scope="module")
def shop(certified: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The ports of the engine's nginx: plain, and with TLS."""
    place, plain, secure = tmp_path_factory.mktemp("n"), free_port(), free_port()
    tls = (TAKEN / "tls.conf").read_text().replace("listen 9443 ", f"listen {secure} ").replace(THERE, str(certified))
    (place / "engine.d").mkdir()
    (place / "engine.d" / "tls.conf").write_text(tls)
    made = nginx.render(
        SHIPPED, port=plain, run_dir=str(place), api_processes=1, ipv6=False, include=f"{place}/engine.d"
    )
    with running(made, place, plain, secure):
        api = Api(str(place / "api-0.sock"))
        yield plain, secure
        api.shutdown()
        api.server_close()


def trusting(place: Path, most: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(place / "certificate.pem"))
    made.maximum_version = most
    made.set_alpn_protocols(["h2", "http/1.1"])
    return made


def asked(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None,
          headers: dict[str, str] | None = None) -> tuple[http.client.HTTPResponse, bytes]:  # fmt: skip
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/payments", 202), ("GET", "/health", 202), ("TRACE", "/payments", 405), ("GET", "/" + "a" * 9000, 414)],
)
def test_over_tls_every_answer_has_hsts_and_without_it_none_has(
    shop: tuple[int, int], certified: Path, method: str, path: str, status: int
) -> None:
    plain, secure = shop
    body = b'{"correlationId": "x"}' if method == "POST" else None
    over = http.client.HTTPSConnection("localhost", secure, context=trusting(certified), timeout=10)
    over.connect()
    assert isinstance(over.sock, ssl.SSLSocket) and over.sock.selected_alpn_protocol() != "h2"
    found, _ = asked(over, method, path, body)
    same, _ = asked(http.client.HTTPConnection("localhost", plain, timeout=10), method, path, body)
    assert found.status == same.status == status and found.version == 11
    assert found.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in same.headers
    for name, value in ON_EVERY_ANSWER.items():
        assert found.headers.get_all(name) == same.headers.get_all(name) == [value]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_an_old_version_of_tls_and_plain_http_find_nothing_at_this_port(shop: tuple[int, int], certified: Path) -> None:
    old = trusting(certified, ssl.TLSVersion.TLSv1_2)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("localhost", shop[1]), 10) as connection, pytest.raises((ssl.SSLError, OSError)):
        old.wrap_socket(connection, server_hostname="localhost")
    found, body = asked(http.client.HTTPConnection("localhost", shop[1], timeout=10), "GET", "/health")
    assert found.status == 400 and found.headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["status"] == 400


def test_up_includes_what_it_is_told_to_and_nothing_of_the_machine() -> None:
    without = nginx.render(SHIPPED, port=1, run_dir="/tmp/x", api_processes=1, ipv6=False)
    assert "include" not in without.split("server {")[1] and THERE not in without
    told = nginx.render(SHIPPED, port=1, run_dir="/tmp/x", api_processes=1, ipv6=False, include="/srv/tls")
    assert "include /srv/tls/*.conf;" in told and THERE not in told
    with pytest.raises(nginx.ConfError, match="must be absolute"):
        nginx.render(SHIPPED, port=1, run_dir="/tmp/x", api_processes=1, ipv6=False, include="/srv;")


def test_up_does_not_start_without_the_tls_that_it_was_told_to_include(tmp_path: Path) -> None:
    there = {"ENGINE_RUN_DIR": str(tmp_path / "r"), "ENGINE_NGINX_INCLUDE": str(tmp_path)}
    with contextlib.closing(Place(settings_module.read(there))) as place:
        with pytest.raises(nginx.ConfError, match="there is no"):
            place.write_conf(ipv6=False)
        (tmp_path / "tls.conf").write_text("")
        place.write_conf(ipv6=False)
        assert f"include {tmp_path}/*.conf;" in Path(place.conf_path).read_text()


def test_containers_mount_it_where_the_shipped_file_looks() -> None:
    (service,) = yaml.safe_load((TAKEN / "tls.yml").read_text())["services"].values()
    assert service == {"ports": ["9443:9443"], "volumes": [f"./tls:{THERE}:ro"]}
    assert f"include {THERE}/*.conf;" in SHIPPED


# --- the console behind an nginx with TLS


@pytest.fixture(scope="module")
def console(certified: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int, str]]:
    """The console's port, that of nginx in front of it, and an operator's key."""
    place, port, secure = tmp_path_factory.mktemp("c"), free_port(), free_port()
    settings = settings_module.read(
        {"ENGINE_NAME": "tls", "ENGINE_RUN_DIR": str(place), "ENGINE_CONSOLE_KEYS_FILE": f"{place}/keys"}
    )
    key = Keys(settings.console_keys_file).add("ada", Role.OPERATOR)
    server = uvicorn.Server(doors.config(Console(settings).app, "127.0.0.1", port))
    thread = threading.Thread(target=server.run)
    thread.start()
    block = (TAKEN / "console.conf").read_text().replace(THERE, str(certified))
    block = block.replace("listen 9997 ", f"listen {secure} ").replace("127.0.0.1:9998", f"127.0.0.1:{port}")
    temporary = "".join(f"{one}_temp_path {place}/{one};\n" for one in ("proxy", "fastcgi", "uwsgi", "scgi"))
    conf = f"pid {place}/pid;\nevents {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path {place}/body;\n"
    with running(f"{conf}{temporary}{block}}}\n", place, secure):
        wait_until(partial(serves, port), READY_SECONDS, "the console")
        yield port, secure, key
        server.should_exit = True
        thread.join()


def test_the_console_over_tls_takes_keys_and_gives_the_strict_cookie(
    console: tuple[int, int, str], certified: Path
) -> None:
    _, port, key = console

    def ask(
        method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        over = http.client.HTTPSConnection("localhost", port, context=trusting(certified), timeout=10)
        return asked(over, method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})

    own = f"https://localhost:{port}"
    found, _ = ask(
        "POST", PREFIX + "/session", json.dumps({"key": key}).encode(), Origin=own, X_Forwarded_For="1.2.3.4"
    )
    cookie = found.headers["Set-Cookie"]
    assert found.status == 200 and cookie.startswith(f"{SECURE_COOKIE}=") and "Secure" in cookie
    assert found.headers.get_all("Strict-Transport-Security") == [HSTS]
    assert all(found.headers.get_all(name) == [value] for name, value in HEADERS.items())
    found, body = ask("GET", PREFIX + "/session", Cookie=cookie.partition(";")[0])
    assert json.loads(body) == {"name": "ada", "role": "operator"}
    pause = b'{"act": "pause", "processor": "default", "reason": "x", "isDryRun": true}'
    found, _ = ask("POST", PREFIX + "/actions", pause, Origin="https://evil.example", Cookie=cookie.partition(";")[0])
    assert found.status == 403
    found, body = ask("POST", PREFIX + "/actions", b" " * 70_000, Cookie=cookie.partition(";")[0])
    assert found.status == 413 and json.loads(body)["status"] == 413
    assert found.headers.get_all("Strict-Transport-Security") == [HSTS]


def test_a_name_of_another_address_is_slowed_down_by_itself(console: tuple[int, int, str], certified: Path) -> None:
    _, port, _ = console
    context = trusting(certified)

    def wrong(forwarded: str) -> int:
        over = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
        headers = {"Authorization": "Bearer bob.wrong", "X-Forwarded-For": forwarded}
        return asked(over, "GET", PREFIX + "/overview", None, headers)[0].status

    # What a client says of where it comes from does not help it.
    assert [wrong(f"10.0.0.{number}") for number in range(6)] == [401] * 5 + [429]
