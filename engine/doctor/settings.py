"""Settings that are valid, and do not go together, or do nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from engine.doctor.finding import Finding, good, note, wrong
from engine.settings import Settings

NAME = "settings"


def look(settings: Settings) -> list[Finding]:
    """What fights, and what is set in vain."""
    return [*_look(settings)] or [good(NAME, "they go together")]


def look_at_memory(settings: Settings, retry_hours: float | None, rate: float | None) -> Finding:
    """Whether ids are remembered for as long as shops send a payment again.

    Parameters:
      retry_hours: how long that is; None: nobody has said it.
      rate: payments a second, over that time; None: nobody has said it.
    """
    name = "retries"
    storage = settings.storage
    kept = settings.host.api_processes * storage.ring_slots
    known = max(kept, storage.id_memory)
    if retry_hours is None or rate is None:
        return note(
            name,
            f"the last {known:,} payments are recognised when they are sent again",
            "say how long shops send a payment again, and how many payments come: --retry-hours 24 --rate 50",
        )
    needed = round(retry_hours * 3600 * rate)
    told = f"{retry_hours:g} h at {rate:g} payments/s are {needed:,} payments"
    if known >= needed:
        return good(name, f"{told}, and the last {known:,} are recognised when they are sent again")
    return wrong(
        name,
        f"{told}, and only the last {known:,} are recognised: what is sent again later may be charged again, if the "
        "processor has forgotten it too",
        f"set ENGINE_ID_MEMORY={needed} (docs/memory.md says what it costs)",
    )


def _look(settings: Settings) -> Iterator[Finding]:
    storage, routing, dispatch, ledger = settings.storage, settings.routing, settings.dispatch, settings.ledger
    if routing.slow_ms >= dispatch.request_timeout_ms:
        yield wrong(
            NAME,
            f"ENGINE_SLOW_MS={routing.slow_ms} is not below ENGINE_REQUEST_TIMEOUT_MS={dispatch.request_timeout_ms}: "
            "no answer can come that late, so no processor is ever slow, only silent",
            "raise the timeout, or lower ENGINE_SLOW_MS",
        )
    if dispatch.park_seconds >= dispatch.give_up_seconds:
        yield wrong(
            NAME,
            f"ENGINE_PARK_SECONDS={dispatch.park_seconds} is not below ENGINE_GIVE_UP_SECONDS="
            f"{dispatch.give_up_seconds}: a payment that cannot be settled keeps its slot until it is given up, and "
            "the ring may fill",
            "lower ENGINE_PARK_SECONDS, or raise ENGINE_GIVE_UP_SECONDS",
        )
    kept = settings.host.api_processes * storage.ring_slots
    if 0 < storage.id_memory <= kept:
        yield wrong(
            NAME,
            f"ENGINE_ID_MEMORY={storage.id_memory:,} is no more than the rings remember themselves ({kept:,} payments)",
            "raise it, or set it to 0",
        )
    if settings.intake.purge and settings.intake.admin_token:
        yield wrong(
            NAME,
            "ENGINE_PURGE=1 lets everybody purge, so ENGINE_ADMIN_TOKEN protects nothing",
            "set ENGINE_PURGE=0",
        )
    if storage.durability == "memory" and storage.data_dir and not ledger.is_on:
        yield note(
            NAME,
            f"ENGINE_DATA_DIR={storage.data_dir} is set, and ENGINE_DURABILITY=memory keeps nothing there",
            "set ENGINE_DURABILITY=disk or sync if payments should survive a restart of the machine",
        )
    if not ledger.is_on and (ledger.url_set or ledger.retention_days):
        yield note(NAME, "a ledger is described, and ENGINE_LEDGER is off", "set ENGINE_LEDGER=best to have it")
    unknown = [one.name for one in settings.processors.all if one.fee_ppm < 0]
    if unknown and not settings.processors.fee_query:
        yield note(
            NAME,
            f"the fee of {' and '.join(unknown)} is not known, and is assumed",
            "set ENGINE_FEES_PPM, or ENGINE_FEE_QUERY=1 to have it queried (docs/routing.md#fees)",
        )
