"""The table of outcomes."""

from __future__ import annotations

import pytest

from engine.dispatch import outcome
from engine.dispatch.outcome import Outcome, Verdict


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"message":"payment processed successfully"}', outcome.CHARGED),
        (201, b"{}", outcome.CHARGED),
        (200, b"", outcome.UNKNOWN),
        (200, b"<html>welcome to the hotel's network</html>", outcome.UNKNOWN),
        (200, b'"ok"', outcome.UNKNOWN),
        (200, b'{"message":', outcome.UNKNOWN),
        (422, b"", outcome.ALREADY),
        (422, b"whatever", outcome.ALREADY),
        (429, b"", outcome.REJECTED),
        (400, b"", outcome.FAILED),
        (404, b"", outcome.FAILED),
        (500, b"", outcome.FAILED),
        (503, b"{}", outcome.FAILED),
        (302, b"", outcome.UNKNOWN),
        (0, b"", outcome.UNKNOWN),
    ],
)
def test_an_answer_to_a_payment_means(status: int, body: bytes, expected: Outcome) -> None:
    assert outcome.of_payment(status, body) == expected


@pytest.mark.parametrize(
    ("amount", "requested_at", "expected"),
    [
        ("19.9", "2025-07-05T12:34:56.789Z", (1_751_718_896_789, 1990)),
        ("0.01", "2025-07-05T12:34:56Z", (1_751_718_896_000, 1)),
        ("1", "2025-07-05T12:34:56.7891234", (1_751_718_896_789, 100)),
        ("12345678901.23", "2025-07-05T14:34:56.789+02:00", (1_751_718_896_789, 1_234_567_890_123)),
    ],
)
def test_what_is_stored_is_read_to_the_cent_and_the_millisecond(
    amount: str, requested_at: str, expected: tuple[int, int]
) -> None:
    body = f'{{"correlationId":"x","amount":{amount},"requestedAt":"{requested_at}"}}'.encode()
    assert outcome.of_lookup(200, body) == Outcome(Verdict.FOUND, *expected)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"[]"),
        (200, b'{"amount":1}'),
        (200, b'{"amount":"1","requestedAt":"2025-07-05T12:34:56Z"}'),
        (200, b'{"amount":true,"requestedAt":"2025-07-05T12:34:56Z"}'),
        (200, b'{"amount":1,"requestedAt":"yesterday"}'),
        (200, b'{"amount":1e400,"requestedAt":"2025-07-05T12:34:56Z"}'),
        (200, b'{"amount":-1,"requestedAt":"2025-07-05T12:34:56Z"}'),
        (500, b""),
        (429, b""),
        (302, b""),
    ],
)
def test_a_question_without_a_clear_answer_leaves_the_payment_unknown(status: int, body: bytes) -> None:
    assert outcome.of_lookup(status, body) == outcome.UNKNOWN


def test_a_payment_that_is_not_there_is_only_not_there_yet() -> None:
    assert outcome.of_lookup(404, b"") == outcome.ABSENT


def test_only_a_request_that_never_left_is_certainly_not_charged() -> None:
    assert outcome.of_error(sent=False) == outcome.FAILED
    assert outcome.of_error(sent=True) == outcome.UNKNOWN
