"""What the bounds of the summary may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.intake.window import NAME_SHOWN_MAX, BadBound, instant_ms, parse

NOON_MS = 1_784_203_200_000  # 2026-07-16T12:00:00Z
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30), timezones=offsets))
def test_every_moment_that_python_writes_is_read_and_rounded_inwards(moment: datetime) -> None:
    microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    text = moment.isoformat()
    for written in (quote(text), text.replace("+", "%2B"), text, quote(text.replace("T", " "))):
        assert parse(f"from={written}&to={written}") == (-(-microseconds // 1000), microseconds // 1000)


@pytest.mark.parametrize(
    "text",
    [
        "2026-07-16T12:00:00.000Z",
        "2026-07-16T12:00:00Z",
        "2026-07-16T12:00:00",
        "2026-07-16T12:00",
        "2026-07-16t12:00:00z",
        "2026-07-16 12:00:00",
        "2026-07-16T12:00:00+00:00",
        "2026-07-16T12:00:00 00:00",
        "2026-07-16T14:00:00+02:00",
        "2026-07-16T14:00:00+0200",
        "2026-07-16T14:00:00 02",
        "2026-07-16T08:30:00-03:30",
        "2026-07-16T12:00:00,0Z",
        "2026-07-16T12:00:00.000000000000Z",
    ],
)
def test_the_same_instant_is_read_from_every_spelling(text: str) -> None:
    assert instant_ms("from", text) == instant_ms("to", text) == NOON_MS


def test_a_date_is_its_midnight_in_utc() -> None:
    assert instant_ms("from", "2026-07-16") == instant_ms("to", "2026-07-16") == NOON_MS - 12 * 3_600_000


@pytest.mark.parametrize("fraction", ["0001", "000001", "0000001", "000000000001", "9999"])
def test_what_is_finer_than_a_millisecond_is_rounded_inwards(fraction: str) -> None:
    whole = int(fraction[:3])
    assert instant_ms("from", f"2026-07-16T12:00:00.{fraction}Z") == NOON_MS + whole + 1
    assert instant_ms("to", f"2026-07-16T12:00:00.{fraction}Z") == NOON_MS + whole


def test_absent_and_empty_bounds_are_none() -> None:
    assert parse("") == parse("from=&to=") == parse("from&to") == parse("&&") == (None, None)
    assert parse("to=2026-07-16T12:00:00Z") == (None, NOON_MS)
    assert parse("from=2026-07-16T12:00:00Z") == (NOON_MS, None)


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("form=2026-07-16", "form", "form is not known, only from and to are; perhaps from is meant"),
        ("From=2026-07-16", "From", "From is not known, only from and to are; perhaps from is meant"),
        ("from=2026-07-16&too", "too", "too is not known, only from and to are; perhaps to is meant"),
        ("from=2026-07-16&x=from", "x", "x is not known, only from and to are"),
        ("=1", "query", "query has a field without a name; only from and to are known"),
        ("%22%0a=1", '"\n', '"\n is not known, only from and to are'),
        ("y" * 1000, "y" * 64, f"{'y' * 64} is not known, only from and to are"),
    ],
)
def test_a_field_of_another_name_is_refused_with_what_may_be_meant(query: str, field: str, said: str) -> None:
    with pytest.raises(BadBound) as caught:
        parse(query)
    assert (caught.value.field, str(caught.value)) == (field, said)


@pytest.mark.parametrize("field", ["from", "to"])
@pytest.mark.parametrize(
    "text",
    [
        "now",
        "1784203200000",
        "2026-07-16T",
        "2026-07-16T12",
        "2026-07-16T12:00:00Zjunk",
        "2026-07-16T12:00:00%00",
        "2026-02-30T12:00:00Z",
        "2026-07-16T24:01:00Z",
        "2026-07-16T12:60:00Z",
        "2026-07-16T12:00:00.Z",
        "2026-07-16T12:00:00.%D9%A1Z",
        "2026-07-16T12:00:00+25:00",
        "2026-07-16T12:00:00+00:60",
        "0000-01-01T00:00:00Z",
        "2026-W29-4",
        "20260716T120000Z",
        "%20",
        "2026-07-16T12:00:00." + "0" * 1000,
    ],
)
def test_a_bound_that_cannot_be_read_is_refused_by_name(field: str, text: str) -> None:
    with pytest.raises(BadBound) as caught:
        parse(f"{field}={text}")
    assert caught.value.field == field


def test_a_bound_given_twice_is_refused() -> None:
    with pytest.raises(BadBound, match="from is given twice"):
        parse("from=2026-07-16&from=2026-07-17")


@given(st.text(max_size=60))
def test_any_query_gives_bounds_or_a_named_complaint(query: str) -> None:
    try:
        parse(query)
        instant_ms("from", query)
    except BadBound as error:
        assert 0 < len(error.field) <= NAME_SHOWN_MAX and str(error).startswith(error.field)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.9999-14:00"])
def test_the_ends_of_the_calendar_are_no_trouble(text: str) -> None:
    assert isinstance(instant_ms("from", text), int)
