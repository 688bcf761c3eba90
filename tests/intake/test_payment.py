"""What a payment's body may be."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.correlation import format_id
from engine.intake.payment import BadPayment, format_cents, parse, parse_id

CENTS_MAX = 10**13 - 1
ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"


def body(amount: str, padding: str = "") -> bytes:
    """The shortest body with the text ``amount``, or with ``padding`` one that takes the exact path."""
    extra = f',"note":"{padding}"' if padding else ""
    return f'{{"correlationId":"{ID}","amount":{amount}{extra}}}'.encode()


LONG = "x" * 40
PADDINGS = pytest.mark.parametrize("padding", ["", LONG])


def reason(raw: bytes, cents_max: int = CENTS_MAX) -> tuple[str, str]:
    with pytest.raises(BadPayment) as caught:
        parse(raw, cents_max)
    return caught.value.field, caught.value.reason


@given(st.integers(1, CENTS_MAX), st.sampled_from(["", LONG]))
def test_every_amount_comes_out_to_the_cent(cents: int, padding: str) -> None:
    assert parse(body(format_cents(cents), padding), CENTS_MAX)[2] == cents


@given(st.integers(1, CENTS_MAX), st.sampled_from(["", LONG]))
def test_an_amount_written_by_any_json_writer_comes_out_to_the_cent(cents: int, padding: str) -> None:
    assert parse(body(json.dumps(cents / 100), padding), CENTS_MAX)[2] == cents


@given(st.decimals(min_value=0, max_value=10**12, allow_nan=False, allow_infinity=False), st.sampled_from(["", LONG]))
def test_an_amount_is_taken_exactly_or_not_at_all(amount: Decimal, padding: str) -> None:
    text = f"{amount:E}" if amount.as_tuple().exponent > 0 else f"{amount:f}"  # type: ignore[operator]
    cents = amount * 100
    if amount > 0 and cents <= CENTS_MAX and cents == int(cents):
        assert parse(body(text, padding), CENTS_MAX)[2] == int(cents)
    else:
        assert reason(body(text, padding))[0] == "amount"


@given(st.text(alphabet="0123456789.eE+-", min_size=1, max_size=15))
def test_both_paths_agree_on_every_short_amount(text: str) -> None:
    results = []
    for padding in ("", LONG):
        try:
            results.append(str(parse(body(text, padding), CENTS_MAX)))
        except BadPayment as error:
            results.append(error.field)
    assert results[0] == results[1]


@given(st.uuids(), st.booleans())
def test_every_uuid_comes_out_as_itself_in_any_case(identity: uuid.UUID, is_upper: bool) -> None:
    text = str(identity).upper() if is_upper else str(identity)
    high, low = parse_id(text)
    assert high << 64 | low == identity.int
    assert format_id(high, low) == str(identity)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_payment_or_a_named_complaint(raw: bytes) -> None:
    try:
        parse(raw, CENTS_MAX)
    except BadPayment as error:
        assert error.field in ("", "correlationId", "amount")


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(ID)
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=3), scalars, max_size=2)


@given(st.dictionaries(st.sampled_from(["correlationId", "amount", "x"]), values))
def test_any_json_is_a_payment_or_a_named_complaint(document: dict[str, object]) -> None:
    try:
        parse(json.dumps(document).encode(), CENTS_MAX)
    except BadPayment as error:
        assert error.field in ("", "correlationId", "amount")


@PADDINGS
@pytest.mark.parametrize(
    "text", ["0", "0.0", "-1", "-0.01", "0.001", "0.004", "1.005", "19.999", "1e-3", "1E-300", "-1e400", "-0"]
)
def test_an_amount_that_is_no_positive_decimal_with_two_places_is_refused(text: str, padding: str) -> None:
    assert reason(body(text, padding))[0] in ("amount", "")


@PADDINGS
@pytest.mark.parametrize("text", ["99999999999.991", "100000000000", "1e12", "1e300", "1e999999999"])
def test_an_amount_over_the_limit_is_refused(text: str, padding: str) -> None:
    assert reason(body(text, padding))[0] in ("amount", "")


@PADDINGS
def test_the_limit_itself_is_accepted_and_a_cent_more_is_not(padding: str) -> None:
    assert parse(body("12.34", padding), 1234)[2] == 1234
    assert reason(body("12.35", padding), 1234) == ("amount", "must be at most 12.34")


@PADDINGS
@pytest.mark.parametrize("text", ['"19.9"', "true", "false", "null", "[1]", "{}"])
def test_an_amount_that_is_no_number_is_refused(text: str, padding: str) -> None:
    assert reason(body(text, padding)) == ("amount", "must be a number")


@PADDINGS
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "0x10", "1_000", "01", "1.", ".5", "+1", "\u0661"])
def test_what_only_looks_like_a_number_is_no_json(text: str, padding: str) -> None:
    assert reason(body(text, padding)) == ("", "is not valid JSON")


@PADDINGS
@pytest.mark.parametrize(("text", "cents"), [("19.900", 1990), ("1e1", 1000), ("1.5E0", 150), ("2", 200)])
def test_it_is_the_value_that_counts_not_the_spelling(text: str, cents: int, padding: str) -> None:
    assert parse(body(text, padding), CENTS_MAX)[2] == cents


def test_an_amount_with_a_million_digits_is_handled() -> None:
    zeros = "0" * 1_000_000
    assert parse(body(f"1.5{zeros}"), CENTS_MAX)[2] == 150
    assert reason(body(f"1.5{zeros}1")) == ("amount", "must have at most 2 decimal places")
    assert reason(body(f"1{zeros}"))[0] in ("amount", "")


@pytest.mark.parametrize(
    "identity",
    [
        "",
        "4a7901b87d264d9daa194dc1c7cf60b3",
        f"{{{ID}}}",
        f"urn:uuid:{ID}",
        f" {ID}",
        f"{ID} ",
        f"{ID}\n",
        ID[:-1],
        f"{ID}0",
        ID.replace("a", "g"),
        ID.replace("4", "_"),
        ID.replace("4", "４"),  # noqa: RUF001 - a digit to Python's int()
        ID.replace("-", "+"),
    ],
)
def test_an_id_that_is_no_canonical_uuid_is_refused(identity: str) -> None:
    raw = json.dumps({"correlationId": identity, "amount": 1}).encode()
    assert reason(raw) == ("correlationId", "must be a UUID")


@pytest.mark.parametrize("identity", [1, True, [ID], {"id": ID}])
def test_an_id_that_is_no_string_is_refused(identity: object) -> None:
    assert reason(json.dumps({"correlationId": identity, "amount": 1}).encode()) == (
        "correlationId",
        "must be a string",
    )


def test_what_is_missing_is_named() -> None:
    assert reason(b'{"amount":1}') == ("correlationId", "is missing")
    assert reason(f'{{"correlationId":"{ID}"}}'.encode()) == ("amount", "is missing")


@pytest.mark.parametrize("raw", [b"[]", b"1", b'"x"', b"null", b"[[1]]"])
def test_json_that_is_no_object_is_refused(raw: bytes) -> None:
    assert reason(raw) == ("", "must be a JSON object")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf" + body("1"),
        body("1") + b"}",
        body("1,"),
        body("1").replace(b'"', b"'"),
        b'{"a":"\xff"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    assert reason(raw) == ("", "is not valid JSON")


def test_deep_nesting_beside_a_good_payment_does_no_harm() -> None:
    raw = body("1")[:-1] + b',"deep":' + b"[" * 1000 + b"]" * 1000 + b"}"
    try:
        assert parse(raw, CENTS_MAX)[2] == 100
    except BadPayment as error:
        assert error.field in ("", "amount")


@PADDINGS
def test_fields_that_are_not_known_are_ignored_and_the_last_of_two_counts(padding: str) -> None:
    assert parse(body('1,"x":[{}],"y":null', padding), CENTS_MAX)[2] == 100
    assert parse(body('1,"amount":2', padding), CENTS_MAX)[2] == 200
