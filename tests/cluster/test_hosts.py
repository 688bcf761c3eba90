"""The dispatcher's own pass, an API process and the agent together, over a stub of the store."""

from __future__ import annotations

from itertools import pairwise

from engine.cluster import values
from engine.connectors.answers import Health, Outcome, Verdict
from engine.dispatch import counted
from engine.memory import cell_layout, layout
from engine.memory.status import StatusBlock
from tests.cluster.hosts import CENTS, CHARGED, LEASE_MS, World


def status(answer: object) -> bytes:
    return answer.status[:3]  # type: ignore[attr-defined, no-any-return]


def test_the_dispatcher_and_the_store_number_outcomes_alike() -> None:
    kinds = values.Kind
    ours = (counted.SETTLED, counted.CHARGED_BEFORE, counted.GIVEN_UP, counted.DECLARED, counted.REOPENED)
    assert ours == (kinds.SETTLED, kinds.CHARGED_BEFORE, kinds.GIVEN_UP, kinds.DECLARED, kinds.REOPENED)


def test_a_payment_is_accepted_pinned_sent_and_counted() -> None:
    world = World("a")
    (host,) = world.hosts
    told = host.pay(1)
    assert told() is None  # not before the store has it
    world.run_until(lambda: told() is not None)
    assert status(told()) == b"202"
    world.run_until(lambda: bool(host.requests()))
    (request,) = host.requests()
    (kept,) = world.store.find(host.core.membership.by, [(1 << 64 | 1).to_bytes(16, "big")])  # type: ignore[arg-type]
    assert kept is not None and kept.pin is not None
    assert (kept.pin.processor, kept.pin.requested_ms) == (request.processor, request.requested_ms)
    host.network.end(request, CHARGED)
    world.run_until(lambda: host.counted()[request.processor] == (1, CENTS))
    assert not host.core.cell.held
    world.run_until(lambda: host.words[cell_layout.COMPLETE_MS_AT] > request.requested_ms)


def test_nothing_is_sent_before_the_store_has_the_pin() -> None:
    world = World("a")
    (host,) = world.hosts
    told = host.pay(1)
    world.run_until(lambda: told() is not None)
    host.is_cut = True
    world.run(700)
    assert status(told()) == b"202" and not host.network.sent
    host.is_cut = False
    world.run_until(lambda: bool(host.requests()))


def test_a_customer_is_not_told_of_what_the_store_does_not_have() -> None:
    world = World("a")
    (host,) = world.hosts
    host.is_cut = True
    told = host.pay(1)
    world.run_until(lambda: told() is not None)
    assert status(told()) == b"503"
    host.is_cut = False
    world.run_until(lambda: bool(host.requests()))  # the store has it now, so it is this cell's to pay
    assert status(host.pay(1)()) == b"202"


def test_while_its_lease_is_over_a_cell_accepts_nothing_and_sends_nothing_for_the_first_time() -> None:
    world = World("a")
    (host,) = world.hosts
    told = host.pay(1)
    world.run_until(lambda: told() is not None)
    host.is_cut = True
    world.run(LEASE_MS + 100)
    assert not host.verdicts.may_accept and not host.network.sent
    host.is_cut = False
    world.run_until(lambda: bool(host.requests()))


def test_the_same_payment_at_two_cells_is_sent_by_one() -> None:
    world = World("a", "b")
    one, other = (host.pay(1) for host in world.hosts)
    world.run_until(lambda: one() is not None and other() is not None)
    assert (status(one()), status(other())) == (b"202", b"202")
    world.run(300)
    assert sorted(len(host.requests()) for host in world.hosts) == [0, 1]
    void = next(host for host in world.hosts if not host.requests())
    assert void.acceptor.find(1, 1) is None
    assert layout.unpack_progress(0, void.ring[void.writer.offset(0) + layout.SLOT_PROGRESS])[0] == layout.PARKED


def test_the_same_id_with_another_amount_is_a_conflict_at_any_cell() -> None:
    world = World("a", "b")
    one, other = world.hosts[0].pay(1), world.hosts[1].pay(1, CENTS + 1)
    world.run_until(lambda: one() is not None and other() is not None)
    assert sorted((status(one()), status(other()))) == [b"202", b"409"]
    again = world.hosts[1].pay(1)
    world.run_until(lambda: again() is not None)
    assert status(again()) == b"202"


def test_what_was_refused_for_certain_is_pinned_anew_anywhere() -> None:
    world = World("a")
    (host,) = world.hosts
    told = host.pay(1)
    world.run_until(lambda: bool(host.requests()))
    (request,) = host.requests()
    host.network.end(request, Outcome(Verdict.REJECTED))
    world.run_until(lambda: bool(host.requests()))
    assert status(told()) == b"202"
    (kept,) = world.store.find(host.core.membership.by, [(1 << 64 | 1).to_bytes(16, "big")])  # type: ignore[arg-type]
    assert kept is not None and kept.pins == 2


def test_what_a_dead_cell_has_accepted_is_paid_by_another_and_a_pin_stays_where_it_is() -> None:
    world = World("a", "b")
    dead, heir = world.hosts
    told = dead.pay(1)
    world.run_until(lambda: bool(dead.requests()))
    (sent,) = dead.requests()
    free = dead.pay(2)
    world.run_until(lambda: free() is not None)
    assert (status(told()), status(free())) == (b"202", b"202")
    world.dead.add(dead.name)
    took_ms = world.run_until(lambda: len({one.id_low for one in heir.requests()}) == 2)
    assert took_ms <= LEASE_MS + 1000
    again = next(one for one in heir.requests() if one.id_low == 1)
    assert (again.processor, again.requested_ms) == (sent.processor, sent.requested_ms)
    for _ in range(5):  # no refusal frees it
        heir.network.end(again, Outcome(Verdict.REFUSED))
        world.run_until(lambda: any(one.id_low == 1 for one in heir.requests()))
        again = next(one for one in heir.requests() if one.id_low == 1)
        assert again.processor == sent.processor
    for request in heir.requests():
        heir.network.end(request, CHARGED)
    world.run_until(lambda: sum(payments for payments, _ in heir.counted()) == 2)


def test_a_dispatcher_that_starts_has_everything_from_the_store() -> None:
    world = World("a")
    (host,) = world.hosts
    told = host.pay(1)
    world.run_until(lambda: bool(host.requests()))
    (sent,) = host.requests()
    done = host.pay(2)
    world.run_until(lambda: len(host.requests()) == 2)
    host.network.end(next(one for one in host.requests() if one.id_low == 2), CHARGED)
    world.run_until(lambda: sum(payments for payments, _ in host.counted()) == 1)
    assert (status(told()), status(done())) == (b"202", b"202")
    host.start_dispatcher()
    world.run_until(lambda: bool(host.requests()))
    (again,) = host.requests()
    assert (again.id_low, again.processor, again.requested_ms) == (1, sent.processor, sent.requested_ms)
    assert again.tries  # its outcome is unknown
    world.run_until(lambda: sum(payments for payments, _ in host.counted()) == 1)


def test_an_agent_that_starts_goes_on_with_what_the_store_has() -> None:
    world = World("a")
    (host,) = world.hosts
    told = host.pay(1)
    world.run_until(lambda: bool(host.requests()))
    host.start_agent()
    world.run_until(lambda: host.verdicts.may_accept)
    world.run_until(lambda: bool(host.requests()))
    (again,) = host.requests()
    host.network.end(again, CHARGED)
    world.run_until(lambda: sum(payments for payments, _ in host.counted()) == 1)
    assert status(told()) in (b"202", b"503")
    other = host.pay(3)
    world.run_until(lambda: other() is not None)
    assert status(other()) == b"202"


def test_books_of_all_cells_are_alike() -> None:
    world = World("a", "b")
    tellers = [host.pay(number) for number, host in enumerate(world.hosts * 3, 1)]
    world.run_until(lambda: all(told() is not None for told in tellers))

    def settle() -> bool:
        for host in world.hosts:
            for request in host.requests():
                host.network.end(request, CHARGED)
        return all(sum(payments for payments, _ in host.counted()) == 6 for host in world.hosts)

    world.run_until(settle)
    assert world.hosts[0].counted() == world.hosts[1].counted()


def test_a_purge_at_one_cell_empties_all() -> None:
    world = World("a", "b")
    here, there = world.hosts
    told = here.pay(1)
    world.run_until(lambda: bool(here.requests()))
    here.network.end(here.requests()[0], CHARGED)
    world.run_until(lambda: sum(payments for payments, _ in there.counted()) == 1)
    assert status(told()) == b"202"
    there.ring[layout.RING_PURGE_ASKED_AT] += 1
    world.run_until(lambda: there.ring[layout.RING_PURGED_AT] == 1)
    world.run_until(lambda: not any(payments for host in world.hosts for payments, _ in host.counted()))
    again = here.pay(1)  # its id is free again
    world.run_until(lambda: bool(here.requests()))
    assert status(again()) == b"202"


def test_one_cell_asks_a_processor_for_its_health_and_all_hear_the_answer() -> None:
    world = World("a", "b", ENGINE_HEALTH_INTERVAL_MS="5050")
    asked = list[tuple[int, int]]()  # when, and which processor

    def step(ms: int) -> None:
        for _ in range(ms):
            world.run(1)
            for host in world.hosts:
                for processor in host.network.asked:
                    asked.append((world.mono_ms, processor))
                    host.network.words.append(Health(processor, processor == 1, 7))
                host.network.asked.clear()

    step(12_500)
    for processor in (0, 1):
        times = [at_ms for at_ms, number in asked if number == processor]
        assert len(times) >= 2
        assert all(later - earlier >= 5000 for earlier, later in pairwise(times))
    for host in world.hosts:
        shown = [StatusBlock(host.books).processor(number) for number in (0, 1)]
        assert [(one.failing, one.min_response_ms) for one in shown] == [(0, 7), (1, 7)]


def test_the_store_forgets_what_is_old_and_a_cell_that_comes_later_has_its_sums() -> None:
    world = World("a", keep_ms=2000)
    (host,) = world.hosts
    told = host.pay(1)
    world.run_until(lambda: bool(host.requests()))
    processor = host.requests()[0].processor
    host.network.end(host.requests()[0], CHARGED)
    world.run_until(lambda: sum(payments for payments, _ in host.counted()) == 1)
    assert status(told()) == b"202"
    by = host.core.membership.by
    assert by is not None
    world.run_until(lambda: world.store.follow(by, by.cell, 0, 10).begin == 1, 60_000)
    assert world.store.find(by, [(1 << 64 | 1).to_bytes(16, "big")]) == (None,)
    host.start_dispatcher()
    assert host.counted()[processor] == (0, 0)
    world.run_until(lambda: host.counted()[processor] == (1, CENTS))
