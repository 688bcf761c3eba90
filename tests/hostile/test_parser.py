"""The parser of payments takes any bytes: it says what the plain model says, or raises BadPayment, in linear time."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.intake.payment import FAST_BODY_BYTES_MAX, BadPayment, parse
from tests.hostile import model

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
CENTS_MAX = 10**13 - 1
FIELDS = {"", "correlationId", "amount"}

digits = st.text("0123456789", min_size=1, max_size=20)
numbers = st.one_of(
    st.integers(-5, 10**14).map(str),
    st.decimals(-1, 10**12, places=2).map(str),
    st.decimals(0, 1000, places=3).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.builds(
        "{}{}.{}e{}{}".format, st.sampled_from(["", "-"]), digits, digits, st.sampled_from(["", "-", "+"]), digits
    ),
    st.builds("{}e{}{}".format, digits, st.sampled_from(["", "-"]), st.integers(0, 400)),
    st.builds("0.{}{}".format, digits, st.integers(0, 300).map(lambda count: "0" * count)),
    st.builds("{}.{}".format, digits, digits),
    st.sampled_from(["NaN", "Infinity", "-0", "0.0", "1.", ".5", "+1", "01", "1e", "0x10", "1_000", "1,5", "9" * 400]),
)
strings = st.one_of(
    st.text(max_size=8).map(json.dumps),
    st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from([r'"\ud800"', r'"\udc00\ud800"', '"\x00"', '"\t"', '"\x7f"', r'"\u00e9"', r'"\x41"', '"', "'a'"]),
)
ids = st.one_of(
    st.uuids().map(str),
    st.uuids().map(lambda number: str(number).upper()),
    st.uuids().map(lambda number: number.hex),
    st.uuids().map(lambda number: number.urn),
    st.uuids().map(lambda number: f"{{{number}}}"),
    st.uuids().map(lambda number: f"{number} "),
    st.uuids().map(lambda number: str(number).replace("-", "_", 1)),
    st.just(ID.replace("4", "\uff14")),
    st.text("0123456789abcdefABCDEFg-", min_size=36, max_size=36),
).map(lambda text: json.dumps(text, ensure_ascii=False))
values = st.recursive(
    st.one_of(numbers, strings, st.sampled_from(["true", "false", "null"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(strings, inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}"
        ),
    ),
    max_leaves=5,
)
ID_NAMES = ['"correlationId"'] * 4 + [r'"\u0063orrelationId"', '"correlationid"']
AMOUNT_NAMES = ['"amount"'] * 4 + [r'"amoun\u0074"', '"Amount"']
fields = st.one_of(
    st.tuples(st.sampled_from(ID_NAMES), ids),
    st.tuples(st.sampled_from(AMOUNT_NAMES), numbers),
    st.tuples(st.sampled_from(ID_NAMES + AMOUNT_NAMES), values),
    st.tuples(strings, values),
)
blanks = st.text(" \t\r\n", max_size=2)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Nearly payments: all fields in any order, some of them twice, some wrong, of any length."""
    pairs = draw(st.lists(fields, max_size=3))
    pairs += [(draw(st.sampled_from(ID_NAMES)), draw(ids)), (draw(st.sampled_from(AMOUNT_NAMES)), draw(numbers))]
    pairs = draw(st.permutations(pairs))
    blank = draw(blanks)
    inside = f"{blank},".join(f"{name}{blank}:{value}" for name, value in pairs)
    return f"{blank}{{{inside}}}{draw(blanks)}".encode("utf-8", "surrogatepass")


@st.composite
def payments(draw: st.DrawFn) -> bytes:
    """Payments with amounts of every shape, on both sides of the parser's two ways to read a number."""
    number = draw(numbers)
    rest = draw(st.integers(0, FAST_BODY_BYTES_MAX))
    return b'{"correlationId":"%s","amount":%s%s}' % (str(draw(st.uuids())).encode(), number.encode(), b" " * rest)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A payment with some of its bytes changed, lost, repeated or moved."""
    body = bytearray(draw(st.one_of(payments(), documents())))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        end = min(len(body), at + draw(st.integers(0, 8)))
        change = draw(st.sampled_from(["replace", "lose", "repeat", "cut"]))
        if change == "replace":
            body[at:end] = draw(st.binary(max_size=4))
        elif change == "lose":
            del body[at:end]
        elif change == "repeat":
            body[at:at] = body[at:end]
        else:
            del body[at:]
    return bytes(body)


def check(body: bytes, cents_max: int) -> None:
    """The parser and the model agree about ``body``."""
    expected = model.payment(body, cents_max)
    try:
        found = parse(body, cents_max)
    except BadPayment as error:
        assert error.field in FIELDS
        assert error.reason
        assert expected is None or model.is_crowded(body)
    else:
        assert found == expected


limits = st.sampled_from([CENTS_MAX, CENTS_MAX, 1, 100, 4242])


@settings(max_examples=1500, deadline=None)
@given(payments(), limits)
@example(b'{"correlationId":"%s","amount":1e308}' % ID.encode(), CENTS_MAX)
@example(b'{"correlationId":"%s","amount":-1e307}' % ID.encode(), CENTS_MAX)
@example(b'{"correlationId":"%s","amount":1,"x":1e-9999999999999999999}' % ID.encode(), CENTS_MAX)
@example(b'{"correlationId":"%s","amount":0.07}' % ID.encode(), 7)
def test_every_shape_of_amount_is_read_exactly(body: bytes, cents_max: int) -> None:
    check(body, cents_max)


@settings(max_examples=1000, deadline=None)
@given(documents(), limits)
def test_every_document_is_judged_as_the_model_does(body: bytes, cents_max: int) -> None:
    check(body, cents_max)


@settings(max_examples=1500, deadline=None)
@given(damaged())
def test_a_damaged_payment_is_judged_as_the_model_does(body: bytes) -> None:
    check(body, CENTS_MAX)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_judged_as_the_model_does(body: bytes) -> None:
    check(body, CENTS_MAX)


@pytest.mark.parametrize("depth", [150, 900, 1000, 1023, 1024, 1025, 2000, 100_000])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}"), ("[", "")])
def test_deep_nesting_is_refused_and_not_fatal(depth: int, brackets: tuple[str, str]) -> None:
    opening, closing = brackets
    inside = f"{opening * depth}1{closing * depth}"
    check(f'{{"correlationId":"{ID}","amount":1,"x":{inside}}}'.encode(), CENTS_MAX)


def payment_with(rest: str) -> bytes:
    return f'{{"correlationId":"{ID}",{rest}}}'.encode()


LONG: dict[str, Callable[[int], bytes]] = {
    "digits": lambda size: payment_with('"amount":' + "9" * size),
    "zeros before": lambda size: payment_with('"amount":0.' + "0" * size + "1"),
    "zeros behind": lambda size: payment_with('"amount":1.' + "0" * size),
    "zeros and exponent": lambda size: payment_with('"amount":1' + "0" * 300 + "." + "0" * size + "e-300"),
    "other digits": lambda size: payment_with('"amount":1,"x":0.' + "7" * size),
    "numbers": lambda size: payment_with('"amount":1,"x":[' + "1.5e-300," * (size // 9) + "1]"),
    "names": lambda size: payment_with("".join(f'"{n:x}":1,' for n in range(size // 10)) + '"amount":1'),
    "amounts": lambda size: payment_with('"amount":1.01,' * (size // 14) + '"amount":1.01'),
    "escapes": lambda size: payment_with('"amount":1,"x":"' + r"\u00e9" * (size // 6) + '"'),
    "blanks": lambda size: payment_with('"amount":1' + " " * size),
    "an id": lambda size: b'{"correlationId":"' + b"a-" * (size // 2) + b'","amount":1}',
    "brackets": lambda size: payment_with('"amount":1,"x":' + "[" * size),
    "no JSON": lambda size: b"\xff" * size,
}


@pytest.mark.parametrize("kind", LONG)
def test_reading_takes_linear_time(kind: str) -> None:
    """Eight times as long takes about eight times the time; of quadratic work it would be 64 times."""
    short, long = LONG[kind](1 << 17), LONG[kind](1 << 20)
    assert seconds(long) < 8 * 3 * seconds(short) + 0.005


def seconds(body: bytes) -> float:
    """The CPU time of the shortest of a few readings: what disturbs only makes it longer."""
    durations = []
    for _ in range(5):
        begin = time.process_time()
        with contextlib.suppress(BadPayment):
            parse(body, CENTS_MAX)
        durations.append(time.process_time() - begin)
    return min(durations)


def test_the_model_itself_knows_a_payment() -> None:
    number = uuid.UUID(ID).int
    halves = (number >> 64, number & (1 << 64) - 1)
    assert model.payment(payment_with('"amount":19.90'), CENTS_MAX) == (*halves, 1990)
    assert model.payment(payment_with('"amount":19.905'), CENTS_MAX) is None
    assert model.payment(payment_with('"amount":"19.90"'), CENTS_MAX) is None
