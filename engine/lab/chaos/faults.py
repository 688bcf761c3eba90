"""What can happen to an engine's surroundings, and what it costs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """Something that happens to the surroundings. Most last for a while and are then undone."""

    SOCKET_REMOVED = "an API process's socket is removed"
    SOCKETS_REMOVED = "all sockets are removed"
    LOCKS_REMOVED = "lock files are removed, an API process is killed"
    DIRECTORY_REMOVED = "the run directory is removed"
    DIRECTORY_REMOVED_KILL = "the run directory is removed, an API process is killed"
    API_STOPPED = "an API process is stopped"
    APIS_STOPPED = "all API processes are stopped"
    DISPATCHER_STOPPED = "the dispatcher is stopped"
    NGINX_STOPPED = "nginx is stopped"
    WORKER_STOPPED = "nginx's worker is stopped"
    SUPERVISOR_STOPPED = "the supervisor is stopped"
    NAMES_SILENT = "name servers are silent"
    NAMES_SILENT_KILL = "name servers are silent, the dispatcher is killed"
    MEMORY_FULL = "/dev/shm is nearly full, an API process and the dispatcher are killed"


# Those that need a world apart.
NEED_NAMES = frozenset({Fault.NAMES_SILENT, Fault.NAMES_SILENT_KILL})
NEED_MEMORY = frozenset({Fault.MEMORY_FULL})
# While they last nothing can be settled: a dispatcher that starts knows no address.
CUT_OFF = frozenset({Fault.NAMES_SILENT_KILL})
# Those that can cost a client an error: whatever it comes by is gone, or a request of it stands still.
COSTLY = frozenset({
    Fault.SOCKETS_REMOVED, Fault.DIRECTORY_REMOVED, Fault.DIRECTORY_REMOVED_KILL, Fault.API_STOPPED,
    Fault.APIS_STOPPED, Fault.NGINX_STOPPED, Fault.WORKER_STOPPED,
})  # fmt: skip


@dataclass
class Bout:
    """A fault that was done, in seconds since the load began.

    Parameters:
      target: the process that it happened to, "" where there is no choice.
      over_s: when it was undone; None while it lasts.
    """

    fault: Fault
    target: str
    at_s: float
    over_s: float | None = None

    @property
    def counted_from_s(self) -> float:
        """From when on it is counted how long the engine takes until it serves."""
        return self.at_s if self.fault not in CUT_OFF or self.over_s is None else self.over_s


@dataclass(frozen=True, slots=True)
class Sample:
    """The engine seen once: asked at ``at_s``, answered at ``seen_s``, in seconds since the load began.

    Parameters:
      complaint: what was not as it should be, "" when it serves: a payment was accepted, every API process is ready,
        and what was accepted earlier is settled.
    """

    at_s: float
    seen_s: float
    complaint: str


@dataclass(frozen=True)
class Served:
    """How a bout ended: after so many seconds the engine served, None if it did not before the next bout.

    Parameters:
      complaints: what was not as it should be before that, each once.
    """

    bout: Bout
    after_s: float | None
    complaints: tuple[str, ...]


def served(bouts: Sequence[Bout], samples: Collection[Sample]) -> list[Served]:
    """How soon the engine served after each of ``bouts``, which are in order: the first good sample after the last bad
    one, up to the next bout. An engine that serves all the time has served after 0 s.
    """
    found = []
    for number, bout in enumerate(bouts):
        end_s = bouts[number + 1].at_s if number + 1 < len(bouts) else float("inf")
        own = [sample for sample in samples if bout.at_s <= sample.seen_s < end_s]
        bad = [place for place, sample in enumerate(own) if sample.complaint]
        complaints = tuple(dict.fromkeys(own[place].complaint for place in bad))
        after_s: float | None = 0.0
        if not own or (bad and bad[-1] + 1 == len(own)):
            after_s = None
        elif bad:
            after_s = max(own[bad[-1] + 1].seen_s - bout.counted_from_s, 0.0)
        found.append(Served(bout, after_s, complaints))
    return found
