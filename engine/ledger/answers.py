"""What API processes ask with, and are answered: it is known before anything of SQL is imported. Pure.

Each answer says how far it can be relied on, because the ledger follows memory and may be behind it, or lack something:

- *era*: rows count only while the ledger's era is memory's own. Right after a purge it is not.
- *reached*: whether SQL has seen every payment that had left memory when it was asked.
- *missed*: whether payments lie in a gap, were set apart, or were taken away by retention.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from engine.books.reader import Sum
from engine.ledger.rows import AttemptRow, PaymentRow

ATTEMPTS_SHOWN: Final = 100  # the last ones: nginx takes some 30 kB of an answer at once


class Memory(NamedTuple):
    """What the engine's memory says of itself, after it was found that it does not have a payment.

    Parameters:
      generation, replaced: of this memory, and of the one that it has taken over (0: none).
      purges: its era.
      gone: for each ring, the position below which slots may have been given away; 0 when all that the ring has
        accepted in this era is still in it.
    """

    generation: int
    replaced: int
    purges: int
    gone: tuple[int, ...]

    @property
    def is_whole(self) -> bool:
        """Whether everything that was accepted in this era is still in it."""
        return not self.replaced and not any(self.gone)


class Found(NamedTuple):
    """What the ledger has of an id.

    ``row``: its payment in memory's era. Without one: ``is_reached``: SQL has seen all that had left memory;
    ``is_certain``: and nothing of this era is missing, so that there was no such payment.
    """

    row: PaymentRow | None
    is_reached: bool
    is_certain: bool


class Told(NamedTuple):
    """The attempts of a payment, and how complete they are.

    ``until_ms``: what ended until then is here; None: not known. ``is_whole``: nothing is left out, for there are no
    more than ATTEMPTS_SHOWN, and no gap may have any.
    """

    found: Found
    attempts: tuple[AttemptRow, ...]
    until_ms: int | None
    is_whole: bool


class Sums(NamedTuple):
    """The sums of several stretches of time, for each processor.

    ``is_whole``: they are right even if nothing confirms them: nothing is missing in the era since the first of them
    began, and the ledger was not far behind.
    """

    sums: tuple[tuple[Sum, ...], ...]
    is_whole: bool
