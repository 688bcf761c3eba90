"""What the engine's policy is compared with.

Each knows the processors as the engine's router does: what is learnt from answers, overdue answers and health,
breakers, probes and limits of concurrency. Only the choice differs, and the pacing: they neither pause between passes
to save CPU (see :mod:`engine.lab.replay.play`) nor hurry for the sake of an audit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from engine.processors import DEFAULT, FALLBACK
from engine.routing.failures import NOBODY, Failures
from engine.routing.observed import ObservedProcessor
from engine.routing.plan import Plan, Queue
from engine.routing.router import NOTHING, Router
from engine.routing.state import ProcessorState
from engine.setting_groups import RoutingSettings

SIMPLE_SLOWER_MS = 50  # the simple systems of the contest leave default for fallback when it is slower by more


class _Baseline(Router):
    """Sends to processors that can be used, in an order; the others get their probes.

    *Slow* processors are used like others: these policies do not consider that an audit may see it.
    """

    def plan(self, now_ms: int, queue: Queue) -> Plan:
        """See :meth:`engine.routing.router.Router.plan`."""
        for observed in self.observed:
            observed.observe(now_ms)
        if not queue.waiting:
            return NOTHING
        usable = [observed.state <= ProcessorState.SLOW for observed in self.observed]
        counts = self._share_out(now_ms, queue.waiting, usable)
        left = queue.waiting - sum(counts)
        for processor, observed in enumerate(self.observed):
            if left and not usable[processor] and self._tries(processor) and observed.wants_probe(now_ms):
                counts[processor] += 1
                left -= 1
        return Plan(*counts)

    def must_listen(self, now_ms: int) -> bool:
        """Never: these policies do not consider what an audit may see."""
        return False

    def audit_delay_ms(self, now_ms: int) -> int:
        """Never, for the same reason."""
        return 0

    def _tries(self, processor: int) -> bool:
        """Whether probes are sent to a processor that cannot be used."""
        raise NotImplementedError

    def _share_out(self, now_ms: int, waiting: int, usable: list[bool]) -> list[int]:
        """How many go to each processor; at most ``waiting``, and to usable ones only."""
        raise NotImplementedError


class DefaultOnly(_Baseline):
    """Insists on default, and waits while it fails."""

    def _tries(self, processor: int) -> bool:
        return processor == DEFAULT

    def _share_out(self, now_ms: int, waiting: int, usable: list[bool]) -> list[int]:
        return [min(waiting, self.observed[DEFAULT].room(now_ms)) if usable[DEFAULT] else 0, 0]


class Simple(_Baseline):
    """The rule of the simple systems: default, unless it fails or is slower than fallback by more than 50 ms.

    That is learnt from answers where theirs rely on a health answer that is up to 5 s old.
    """

    def _tries(self, processor: int) -> bool:
        return True

    def _share_out(self, now_ms: int, waiting: int, usable: list[bool]) -> list[int]:
        default, fallback = self.observed
        slower_ms = default.expected_ms(now_ms) - fallback.expected_ms(now_ms)
        if usable[DEFAULT] and not (usable[FALLBACK] and slower_ms > SIMPLE_SLOWER_MS):
            return [min(waiting, default.room(now_ms)), 0]
        if usable[FALLBACK]:
            return [0, min(waiting, fallback.room(now_ms))]
        return [0, 0]


class EarliestFinish(_Baseline):
    """Each payment goes where it is expected to be settled first, whatever that costs.

    A processor settles its limit of concurrency in each of its answer times. So payments that do not fit wait for the
    quicker one, up to the number for which the other would have been as quick.
    """

    def _tries(self, processor: int) -> bool:
        return True

    def _share_out(self, now_ms: int, waiting: int, usable: list[bool]) -> list[int]:
        counts = [0] * len(usable)
        order = sorted(
            (processor for processor, is_usable in enumerate(usable) if is_usable),
            key=lambda processor: self.observed[processor].expected_ms(now_ms),
        )
        if not order:
            return counts
        quicker = self.observed[order[0]]
        counts[order[0]] = min(waiting, quicker.room(now_ms))
        if len(order) == 2:
            slower = self.observed[order[1]]
            left = waiting - counts[order[0]] - _worth_waiting_for(now_ms, quicker, slower)
            counts[order[1]] = max(0, min(left, slower.room(now_ms)))
        return counts


def _worth_waiting_for(now_ms: int, quicker: ObservedProcessor, slower: ObservedProcessor) -> int:
    """How many payments that wait for the quicker one are settled before the slower one would have done it."""
    quick_ms = max(quicker.expected_ms(now_ms), 1)
    return quicker.concurrency.limit * max(0, slower.expected_ms(now_ms) - quick_ms) // quick_ms


class _RowOnly(Failures):
    """Failures in a row and nothing else, whatever their key: how failing was judged before there was a rate."""

    def failed(self, now_ms: int, key: int, is_refusal: bool) -> bool:
        """See :meth:`engine.routing.failures.Failures.failed`."""
        return super().failed(now_ms, NOBODY, is_refusal)

    def end_row(self, now_ms: int) -> bool:
        """See :meth:`engine.routing.failures.Failures.end_row`."""
        self.forget_row()
        return False


class _InARowProcessor(ObservedProcessor):
    FAILURES = _RowOnly


class InARow(Router):
    """Ours in all but one thing: it knows no failure rate."""

    OBSERVED = _InARowProcessor


OURS = "ours"
Maker = Callable[[RoutingSettings, Sequence[int], int], Router]
POLICIES: Mapping[str, Maker] = {
    OURS: Router,
    "default-only": DefaultOnly,
    "simple": Simple,
    "earliest": EarliestFinish,
}
# Earlier rules of ours, to be compared with what has become of them; they pause between passes as ours does.
RIVALS: Mapping[str, Maker] = {"in-a-row": InARow}
