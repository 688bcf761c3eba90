"""The dispatcher's network, virtual: requests go to the processors, ends come back, or the time-out does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.books import parked
from engine.connectors import answers
from engine.connectors.answers import Fee, Health, Outcome, Query, Silence, Verdict
from engine.dispatch.attempt import Attempt
from engine.dispatch.ports import Word
from engine.dispatch.starting import ASKING_MAX
from engine.lab.dst.memory import Points
from engine.lab.dst.model import ViolationError
from engine.lab.dst.processors import Processor
from engine.lab.dst.scheduler import Scheduler
from engine.memory.journal_layout import STATUS_NO_ANSWER
from engine.routing.queries import ANSWER_MS_MAX

# What the journal has of an end beside its verdict: here it is the same for all.
ANSWERED, TIMED_OUT = 200, 28


class Network:
    """The dispatcher's port :class:`engine.dispatch.ports.Transport`. It ends with the dispatcher; the processors go
    on.

    Parameters:
      sends: called with each attempt that is about to leave.
      arrived: called when there is something for :meth:`results`.
    """

    def __init__(
        self,
        processors: Sequence[Processor],
        request_timeout_ms: int,
        scheduler: Scheduler,
        points: Points,
        *,
        sends: Callable[[Attempt], None],
        arrived: Callable[[], None],
    ) -> None:
        self._processors = processors
        self._request_timeout_ms = request_timeout_ms
        self._scheduler = scheduler
        self._points = points
        self._sends = sends
        self._arrived = arrived
        self._is_up = True
        self._busy: set[int] = set()  # tickets without an end
        self._ended: list[tuple[Attempt, Outcome]] = []
        self._asked: set[int] = set()  # numbers of queries without an end
        self._queries = 0
        self._lookups: set[int] = set()  # tickets of lookups
        self._known: set[int] = set()  # payments that it has sent or asked for, by their ids
        self._words: list[Word] = []
        self.fees_told: set[int] = set()  # processors whose fee the dispatcher has been told

    @property
    def in_flight(self) -> int:
        """Requests whose end was not handed out."""
        return len(self._busy) + len(self._ended)

    def send(self, attempt: Attempt) -> None:
        """See the port. Anything may happen before it leaves."""
        self._points.reach()
        self._sends(attempt)
        self._check_asked(attempt)
        self._busy.add(attempt.ticket)
        self._scheduler.after(self._request_timeout_ms, self._end, attempt, answers.of_error(True))
        self._processors[attempt.processor].receive(attempt, self._end)

    def ask_health(self, processor: int) -> None:
        """See the port."""
        self._ask(processor, Query.HEALTH, self._processors[processor].receive_health)

    def ask_fee(self, processor: int) -> None:
        """See the port."""
        self._ask(processor, Query.FEE, self._processors[processor].receive_fee)

    def kick(self) -> None:
        """See the port: nothing waits here."""

    def wait_ms(self) -> float | None:
        """See the port: nothing waits here. A payment may come meanwhile."""
        self._points.reach()
        return None

    def results(self) -> tuple[list[tuple[Attempt, Outcome]], list[Word]]:
        """See the port."""
        ended, self._ended = self._ended, []
        words, self._words = self._words, []
        self.fees_told.update(word.processor for word in words if isinstance(word, Fee))
        return ended, words

    def drop(self, attempt: Attempt) -> None:
        """See the port."""
        self._busy.discard(attempt.ticket)
        self._ended = [(other, end) for other, end in self._ended if other is not attempt]

    def abandon(self) -> None:
        """See the port."""
        self._busy.clear()
        self._ended.clear()

    def close(self) -> None:
        """The dispatcher is gone. What has left it goes on its way."""
        self.abandon()
        self._is_up = False

    def _check_asked(self, attempt: Attempt) -> None:
        """What an earlier dispatcher had sent is not sent again before anybody has asked for it, unless too much is."""
        is_known = attempt.key in self._known
        self._known.add(attempt.key)
        if attempt.lookup:
            self._lookups.add(attempt.ticket)
            return
        is_again = attempt.tries and attempt.ring != parked.RING
        is_much_asked = len(self._lookups & self._busy) >= ASKING_MAX // 2
        if is_again and not is_much_asked and not is_known:
            raise ViolationError(f"payment {attempt.id_low} is sent again, and was not looked up before")

    def _end(self, attempt: Attempt, end: Outcome) -> None:
        if attempt.ticket in self._busy:
            self._busy.remove(attempt.ticket)
            attempt.status = STATUS_NO_ANSWER + TIMED_OUT if end.verdict is Verdict.UNKNOWN else ANSWERED
            attempt.took_us = 1000 * (self._scheduler.mono_ms - attempt.began_ms)
            self._ended.append((attempt, end))
            self._arrived()

    def _ask(self, processor: int, query: Query, receive: Callable[[Callable[[Health | Fee], None]], None]) -> None:
        self._queries += 1
        number = self._queries
        self._asked.add(number)
        self._scheduler.after(ANSWER_MS_MAX, self._tell, number, Silence(processor, query))
        receive(lambda word: self._tell(number, word))

    def _tell(self, number: int, word: Word) -> None:
        """The end of a query; of the answer and its time-out only the first counts."""
        if self._is_up and number in self._asked:
            self._asked.remove(number)
            self._words.append(word)
            self._arrived()
