"""``make fuzz``: the parser of payments under atheris, which looks for inputs that reach code it has not seen yet.

What it feeds in is what hypothesis makes its bytes into, so it varies documents as well as bytes. It ends at the first
input that the parser and the model judge differently, and prints it; with ``-max_total_time=SECONDS`` it ends then.
"""

from __future__ import annotations

import sys
from typing import Any

import atheris

with atheris.instrument_imports(include=["engine.intake", "json", "tests.hostile.model"]):
    from tests.hostile import test_parser

INPUTS: tuple[Any, ...] = (  # hypothesis gives its tests an attribute that their type lacks
    test_parser.test_a_damaged_payment_is_judged_as_the_model_does,
    test_parser.test_every_shape_of_amount_is_read_exactly,
    test_parser.test_every_document_is_judged_as_the_model_does,
    test_parser.test_any_bytes_are_judged_as_the_model_does,
)


def one_input(data: bytes) -> None:
    """The first byte chooses what the others are made into."""
    if data:
        INPUTS[data[0] % len(INPUTS)].hypothesis.fuzz_one_input(data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
