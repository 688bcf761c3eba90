"""The table of outcomes."""

from __future__ import annotations

import pytest

from engine.dispatch import outcome
from engine.dispatch.outcome import Outcome, Verdict

ID = 0x4A7901B87D264D9D, 0xAA194DC1C7CF60B3
NAME = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
OTHER = b"00000000-0000-4000-8000-00000000dead"
MINE = f'{{"correlationId":"{NAME}","amount"'.encode()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"message":"payment processed successfully"}', outcome.CHARGED),
        (200, b'\xef\xbb\xbf{"message":"payment processed successfully"}', outcome.CHARGED),
        (200, b'{"message":"declined"}', outcome.UNKNOWN),
        (200, b'{"message":"payment processed successfully","error":"but"}', outcome.UNKNOWN),
        (200, b'{"error":{"code":"declined"}}', outcome.UNKNOWN),
        (200, b"{}", outcome.UNKNOWN),
        (201, b'{"message":"payment processed successfully"}', outcome.UNKNOWN),
        (202, b'{"status":"pending"}', outcome.UNKNOWN),
        (200, b"", outcome.UNKNOWN),
        (200, b"<html>welcome to the hotel's network</html>", outcome.UNKNOWN),
        (200, b'"ok"', outcome.UNKNOWN),
        (200, b'{"message":', outcome.UNKNOWN),
        (422, b"", outcome.ALREADY),
        (422, b"whatever", outcome.ALREADY),
        (429, b"", outcome.REJECTED),
        *((status, b"", outcome.REFUSED) for status in (400, 402, 404, 405, 413, 414, 415)),
        *((status, b"", outcome.FAILED) for status in (500, 401, 403)),
        *((status, b"<html>", outcome.UNKNOWN) for status in (502, 503, 504, 408, 409, 410, 418, 501, 599)),
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
        ("9345678901.23", "2025-07-05T14:34:56.789+02:00", (1_751_718_896_789, 934_567_890_123)),
    ],
)
def test_what_is_stored_is_read_to_the_cent_and_the_millisecond(
    amount: str, requested_at: str, expected: tuple[int, int]
) -> None:
    body = f'{{"correlationId":"{NAME}","amount":{amount},"requestedAt":"{requested_at}"}}'.encode()
    assert outcome.of_lookup(200, body, *ID) == Outcome(Verdict.FOUND, *expected)
    assert outcome.of_lookup(200, b"\xef\xbb\xbf" + body.replace(NAME.encode(), NAME.upper().encode()), *ID) == Outcome(
        Verdict.FOUND, *expected
    )


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
        (200, b'{"amount":1e300,"requestedAt":"2025-07-05T12:34:56Z"}'),
        (200, b'{"amount":99999999999999999999999999,"requestedAt":"2025-07-05T12:34:56Z"}'),
        (200, b'{"amount":0.001,"requestedAt":"2025-07-05T12:34:56Z"}'),
        (200, b'{"amount":1,"requestedAt":"9999-12-31T23:59:59Z"}'),
        (200, b'{"amount":1,"requestedAt":"0001-01-01T00:00:00+23:59"}'),
        (200, b'{"amount":1,"requestedAt":"2025-07-05T12:34:56Z","correlationId":"%s"}' % OTHER),
        (503, b'{"amount":1,"requestedAt":"2025-07-05T12:34:56Z"}'),
        (500, b""),
        (429, b""),
        (302, b""),
    ],
)
def test_a_question_without_a_clear_answer_leaves_the_payment_unknown(status: int, body: bytes) -> None:
    assert outcome.of_lookup(status, body.replace(b'{"amount"', MINE), *ID) == outcome.UNKNOWN


def test_a_payment_that_is_not_there_is_only_not_there_yet() -> None:
    assert outcome.of_lookup(404, b"", *ID) == outcome.ABSENT


def test_only_a_request_that_never_left_is_certainly_not_charged() -> None:
    assert outcome.of_error(sent=False) == outcome.FAILED
    assert outcome.of_error(sent=True) == outcome.UNKNOWN
