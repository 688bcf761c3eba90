"""HTTP and HTTPS servers for the doctor's tests: they answer what they are told, by path."""

from __future__ import annotations

import contextlib
import email.utils
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple


class Manner(NamedTuple):
    """How it answers: status and document by the beginning of a path; everything else is 404."""

    answers: dict[str, tuple[int, Any]]
    clock_seconds: float = 0.0  # ahead of this machine's


# As a processor answers that has never heard of a payment.
PROCESSOR = {
    "/payments/service-health": (200, {"failing": False, "minResponseTime": 3}),
    "/payments/": (404, {"message": "payment not found"}),
    "/admin/": (200, {"feePerTransaction": 0.05}),
}


@contextlib.contextmanager
def server(manner: Manner, certificate: Path | None = None) -> Iterator[int]:
    """Serves on a free port of loopback, which it yields; with TLS where there is a ``certificate`` and its key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found: tuple[int, Any] = next(
                (said for begin, said in manner.answers.items() if self.path.startswith(begin)), (404, {})
            )
            body = json.dumps(found[1]).encode()
            self.send_response_only(found[0])
            self.send_header("Date", email.utils.formatdate(time.time() + manner.clock_seconds, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield listening.server_address[1]
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def certificate(directory: Path, begin: str, end: str) -> Path:
    """A self-signed certificate for localhost with its key, valid between two times such as 20260101000000Z."""
    key, request, signed = (directory / name for name in ("key.pem", "request.pem", "signed.pem"))
    (directory / "index").write_text("")
    (directory / "serial").write_text("01")
    (directory / "ca.conf").write_text(
        f"""[ca]
default_ca=own
[own]
database={directory}/index
serial={directory}/serial
new_certs_dir={directory}
default_md=sha256
policy=any
x509_extensions=names
[any]
commonName=supplied
[names]
subjectAltName=DNS:localhost
basicConstraints=CA:TRUE
"""
    )
    make = [
        "openssl",
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-keyout",
        key,
        "-out",
        request,
    ]
    sign = ["openssl", "ca", "-config", directory / "ca.conf", "-selfsign", "-batch", "-notext", "-keyfile", key]
    sign += ["-in", request, "-out", signed, "-startdate", begin, "-enddate", end]
    for words in (make, sign):
        subprocess.run([*map(str, words)], check=True, capture_output=True, timeout=60)
    both = directory / "both.pem"
    both.write_text(key.read_text() + signed.read_text())
    return both
