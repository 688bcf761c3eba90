"""Dead letters of all kinds at a real engine under load: what is unsafe is refused, what is safe is done once."""

from __future__ import annotations

from tests.operate.deciding import check_conservation, decide
from tests.operate.letters import CHARGED, NOT_CHARGED, REFUSED, letters
from tests.operate.paying import paying

LETTERS = 15
RATE = 20


def test_unsafe_acts_are_refused_with_their_reason_and_safe_ones_done_once_under_load() -> None:
    with letters(LETTERS, 2, (REFUSED, CHARGED, NOT_CHARGED)) as made:
        assert {*made.kinds.values()} == {REFUSED, CHARGED, NOT_CHARGED}
        with paying(made.engine.port, RATE) as times_ms:
            decide(made)
        assert times_ms
        check_conservation(made)
