"""POST /purge-payments: an API process asks the dispatcher, and waits until it has decided."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from engine.intake import problem
from engine.intake.problem import Answer
from engine.memory import layout
from engine.memory.words import Words

PURGE_SECONDS: Final = 5.0  # how long a purge waits for the dispatcher
WITHDRAWN_SECONDS: Final = 0.5  # ... and after it was called off: the dispatcher may just be at it


def ask(words: Words, is_withdrawn: bool) -> Callable[[], Answer | None]:
    """Asks for a purge in the ring of ``words``, which this process writes. What is returned tells the answer, or None
    as long as there is none.

    ``is_withdrawn``: after PURGE_SECONDS the purge is called off; else it stays asked for until a dispatcher comes.
    """
    asked = words[layout.RING_PURGE_ASKED_AT] + 1
    words[layout.RING_PURGE_ASKED_AT] = asked
    deadline = time.monotonic() + PURGE_SECONDS

    def done() -> Answer | None:
        if words[layout.RING_PURGE_DONE_AT] >= asked:
            # One that was asked for later, and was carried out, was carried out after this one was asked for.
            return problem.PURGED if words[layout.RING_PURGED_AT] >= asked else problem.PURGE_REFUSED
        late = time.monotonic() - deadline
        if late > 0 and not is_withdrawn:
            return problem.NOT_YET_PURGED
        if late > 0:
            words[layout.RING_PURGE_WITHDRAWN_AT] = asked
        return problem.PURGE_WITHDRAWN if late > WITHDRAWN_SECONDS else None

    return done
