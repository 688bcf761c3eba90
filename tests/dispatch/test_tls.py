"""Payments over TLS: the certificate is checked against the system's authorities, or those that were named."""

from __future__ import annotations

import contextlib
import select
import shutil
import time
from pathlib import Path

import pytest

from engine.connectors import rinha
from engine.connectors.answers import Outcome, Verdict
from engine.dispatch.attempt import Attempt
from engine.dispatch.transport import Transport
from engine.reconcile.client import Client
from tests.doctor.served import PROCESSOR, Manner, certificate, server

CHARGED = Manner({"/payments": (200, {"message": rinha.CHARGED_MESSAGE})})


def paid(port: int) -> Outcome:
    """The outcome of a payment to localhost."""
    with contextlib.closing(select.epoll()) as epoll:
        transport = Transport(
            [f"https://localhost:{port}"], [rinha.connector("")], connect_timeout_ms=5000, request_timeout_ms=5000,
            in_flight_max=1, epoll=epoll,
        )  # fmt: skip
        with contextlib.closing(transport):
            transport.send(Attempt(1, 0, 0, 0, 1, 2, 1990, 1_751_718_896_789, 1, False, 0, began_ms=0))
            transport.kick()
            deadline = time.monotonic() + 20
            while not (ended := transport.results()[0]):
                assert time.monotonic() < deadline
                transport.act(epoll.poll(0.1))
            return ended[0][1]


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_who_reconciles_trusts_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = certificate(tmp_path, "20200101000000Z", "20990101000000Z")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "signed.pem"))
    with server(Manner(PROCESSOR), made) as port:
        client = Client([f"https://localhost:{port}"], [rinha.connector("")], 100, 100)
        with contextlib.closing(client):
            assert client.lookup(0, bytes(16)).verdict is Verdict.ABSENT


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_a_certificate_is_checked_before_a_payment_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    made = certificate(tmp_path, "20200101000000Z", "20990101000000Z")
    with server(CHARGED, made) as port:
        assert paid(port).verdict is Verdict.FAILED  # nothing was sent, so nothing is charged
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "signed.pem"))
        assert paid(port).verdict is Verdict.CHARGED
