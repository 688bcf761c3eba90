"""The result of a run: as a dictionary for JSON, and as a table for people. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.lab.contest.audit import Audit
from engine.lab.contest.books import NOTHING, Total, Totals
from engine.lab.contest.changes import Change, medians
from engine.lab.contest.recording import Recording
from engine.lab.contest.samples import Second, percentile, percentiles
from engine.lab.contest.scenario import Condition, Flaky
from engine.lab.contest.score import score
from engine.lab.machine.tree import TreeUse
from engine.lab.simulate.changes import Onset

# What the contest allows all services of the engine together.
CPU_ALLOWED_CORES = 1.5
MEMORY_ALLOWED_MB = 350.0

Json = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Whether the run kept the engine's promises and, if not, which ones it broke."""

    broken: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """All were kept."""
        return not self.broken


def verdict(recording: Recording, p99_ms: float | None, p99_ms_max: float | None) -> Verdict:
    """Accepted equals settled after the drain, no audit differed, nothing was charged twice, and p99 if asked."""
    broken = []
    if recording.interrupted:
        broken.append("interrupted")
    elif recording.samples.end_ms is None:
        broken.append("k6 ended before its time")
    if recording.accepted == 0:
        broken.append("nothing was accepted")
    settled = recording.settled_after_drain
    if settled is None:
        broken.append("what is settled after the drain is not known")
    elif settled.count < recording.accepted:
        broken.append(f"{recording.accepted - settled.count} accepted payments are not settled")
    elif settled.count > recording.accepted + recording.unsure:
        # A payment whose request timed out may have been accepted: more than those cannot be explained.
        broken.append(f"{settled.count - recording.accepted} more settled than accepted")
    differed = [audit for audit in recording.audits if audit.against_the_engine]
    if differed:
        broken.append(f"{len(differed)} of {len(recording.audits)} audits differed")
    void = [audit for audit in recording.audits if audit.outcome == "void"]
    if void:
        broken.append(f"{len(void)} audits had no answer of a processor")
    if recording.twice is None:
        broken.append("whether anything was charged twice is not known")
    elif recording.twice.payments:
        broken.append(f"{recording.twice.payments} payments were charged twice")
    unset = [applied for applied in recording.stages if applied.error]
    broken.extend(f"stage at {applied.stage.at_s:g} s: {applied.error}" for applied in unset)
    if p99_ms_max is not None and (p99_ms is None or p99_ms > p99_ms_max):
        broken.append(f"p99 is above {p99_ms_max:g} ms")
    return Verdict(tuple(broken))


def result(recording: Recording, p99_ms_max: float | None = None) -> Json:
    """Everything about a run, for JSON. Amounts are in currency units, times in the unit of their name."""
    samples, scenario = recording.samples, recording.scenario
    latency = recording.load.durations_ms if recording.load else percentiles(samples.ordered_ms())
    p99_ms = latency["p99"] if latency else None
    at_end = recording.settled_at_end or Totals(dict.fromkeys(recording.fees, NOTHING))
    after = recording.settled_after_drain
    periodic = [audit for audit in recording.audits if audit.kind == "periodic"]
    fined = sum(audit.against_the_engine for audit in periodic)
    marks = score(at_end, recording.fees, p99_ms, fined, recording.requested)
    judged = verdict(recording, p99_ms, p99_ms_max)
    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "began": datetime.fromtimestamp(recording.begin_epoch_s, UTC).isoformat(timespec="milliseconds"),
        "passed": judged.passed,
        "broken": list(judged.broken),
        "interrupted": recording.interrupted,
        "score": round(marks.score, 2),
        "net": round(float(marks.net), 2),
        "bonus": round(marks.bonus, 4),
        "fine": marks.fine,
        "disqualified": marks.disqualified,
        "p99_ms": _round(p99_ms),
        "latency_ms": {key: _round(value) for key, value in latency.items()} if latency else None,
        "requested": recording.requested,
        "accepted": recording.accepted,
        "refused": samples.refused.total(),
        "refused_by_status": {str(status): count for status, count in sorted(samples.refused.items())},
        "unanswered": samples.unanswered.total(),
        "unanswered_by_k6_error": {str(code): count for code, count in sorted(samples.unanswered.items())},
        "settled": at_end.count,
        **_on_each(at_end),
        "settled_amount": at_end.cents / 100,
        "lag": recording.accepted - at_end.count,
        "settled_after_drain": after.count if after else None,
        "lag_after_drain": recording.accepted - after.count if after else None,
        "drain_s": _round(recording.drain_s),
        "charged_twice": recording.twice.payments if recording.twice else None,
        "charged_twice_by": recording.twice.by if recording.twice else None,
        "inconsistency": sum(audit.payments for audit in recording.audits),
        "inconsistency_amount": sum(audit.cents for audit in recording.audits) / 100,
        "audits_differed": sum(audit.against_the_engine for audit in recording.audits),
        "fees": {name: float(fee) for name, fee in recording.fees.items()},
        "duration_s": scenario.load.duration_s,
        "end_s": _round(recording.end_s),
        "resources": {name: _use(use) for name, use in recording.resources.items()},
        "audits": [_audit(audit) for audit in recording.audits],
        "stages": [
            {"at_s": stage.at_s} | {name: _condition(condition) for name, condition in stage.conditions.items()}
            for stage in scenario.stages
        ],
        "changes": None if recording.changes is None else [_change(change) for change in recording.changes],
        "changes_medians": None if recording.changes is None else _medians(recording.changes),
        "stages_set_s": [_round(applied.done_s) for applied in recording.stages],
        "notes": recording.notes,
        "series": series(recording),
    }


def series(recording: Recording) -> Json:
    """The run second by second: what k6 saw (``requests``), and what was seen once a second (``ticks``)."""
    requests = [_second(number, second) for number, second in sorted(recording.samples.seconds.items())]
    ticks = [
        {
            "at_s": _round(tick.at_s),
            **(_on_each(tick.settled) if tick.settled else {f"on_{name}": None for name in recording.fees}),
            "pending": tick.pending,
            "failed": tick.failed,
            "cores": {name: _round(cores) for name, cores in tick.cores.items()},
        }
        for tick in recording.ticks
    ]
    return {"requests": requests, "ticks": ticks}


def _on_each(settled: Totals) -> Json:
    """``on_default``, ``on_fallback``, ...: payments at each processor."""
    return {f"on_{name}": total.count for name, total in settled.items()}


def _second(number: int, second: Second) -> Json:
    ordered = sorted(second.durations_ms)
    return {
        "second": number,
        "accepted": len(ordered),
        "others": second.others,
        "p50_ms": _round(percentile(ordered, 0.5)) if ordered else None,
        "p99_ms": _round(percentile(ordered, 0.99)) if ordered else None,
        "max_ms": _round(ordered[-1]) if ordered else None,
    }


def _audit(audit: Audit) -> Json:
    def said(answer: Total | str) -> Json | str:
        return answer if isinstance(answer, str) else {"count": answer.count, "amount": answer.cents / 100}

    engine = audit.answers.engine
    return {
        "at_s": _round(audit.at_s),
        "kind": audit.kind,
        "from": audit.window[0] if audit.window else None,
        "to": audit.window[1] if audit.window else None,
        "outcome": audit.outcome,
        "payments": audit.payments,
        "amount": audit.cents / 100,
        "reason": audit.reason,
        "engine": engine if isinstance(engine, str) else {name: said(total) for name, total in engine.items()},
        "processors": {name: said(answer) for name, answer in audit.answers.processors.items()},
    }


def _use(use: TreeUse) -> Json:
    def mb(size: int) -> float | None:
        return round(size / 1e6, 1) if size else None

    return {
        "cpu_s": _round(use.cpu_s),
        "cores_mean": _round(use.cores_mean),
        "cores_peak": _round(use.cores_peak),
        "pss_peak_mb": mb(use.pss_peak),
        "roles": {
            name: {
                "processes": role.processes,
                "cpu_s": _round(role.cpu_s),
                "cores_mean": _round(role.cpu_s / use.elapsed_s if use.elapsed_s else 0.0),
                "cores_peak": _round(role.cores_peak),
                "pss_peak_mb": mb(role.pss_peak),
            }
            for name, role in sorted(use.roles.items())
        },
    }


def _condition(condition: Condition) -> Json:
    shown = {"delay_ms": condition.delay_ms, "failing": condition.failing}
    return shown | ({"failing_share": float(condition.failing_share)} if isinstance(condition, Flaky) else {})


def _change(change: Change) -> Json:
    fields = asdict(change) | {"at_s": _round(change.at_s)}
    if isinstance(change, Onset):
        return fields | {"kind": "onset", "wasted": change.wasted}
    return fields | {"kind": "recovery", "first_ms": _round(change.first_ms)}


def _medians(changes: list[Change]) -> Json:
    fields = asdict(medians(changes))
    return fields | {"first_ms": _round(fields["first_ms"])}


def _round(number: float | None) -> float | None:
    return None if number is None else round(number, 3)


def print_table(outcome: Json, console: Console) -> None:
    """The result as a table; ``outcome`` is what :func:`result` gives."""
    table = Table(title=outcome["title"], show_header=False, title_style="bold", padding=(0, 1))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    fees, latency = outcome["fees"], outcome["latency_ms"] or {}
    table.add_row(
        "score", f"[bold]{outcome['score']:,.2f}[/]",
        "disqualified: more settled than requested" if outcome["disqualified"]
        else f"net x (1 + {outcome['bonus']:.3f} bonus - {outcome['fine']:.2f} fine)",
    )  # fmt: skip
    table.add_row("net", f"{outcome['net']:,.2f}", "settled when the load ended, less fees")
    table.add_row(
        "p99", _ms(outcome["p99_ms"]),
        ", ".join(f"{key} {_ms(value)}" for key, value in latency.items() if key != "p99"),
    )  # fmt: skip
    table.add_section()
    table.add_row("accepted", f"{outcome['accepted']:,}", f"of {outcome['requested']:,} requests")
    for key in ("refused", "unanswered"):
        by = outcome["refused_by_status" if key == "refused" else "unanswered_by_k6_error"]
        table.add_row(key, f"{outcome[key]:,}", ", ".join(f"{count} x {code}" for code, count in by.items()))
    table.add_row(
        "settled", f"{outcome['settled']:,}",
        ", ".join(f"{name} {outcome[f'on_{name}']:,} (fee {fee:.1%})" for name, fee in fees.items()),
    )  # fmt: skip
    table.add_row("lag", f"{outcome['lag']:,}", "accepted, but not settled when the load ended")
    drain = "not all settled" if outcome["drain_s"] is None else f"all settled {outcome['drain_s']:.1f} s later"
    table.add_row("lag after drain", _count(outcome["lag_after_drain"]), drain)
    by = f"by {outcome['charged_twice_by']}" if outcome["charged_twice_by"] else "not known"
    table.add_row("charged twice", _count(outcome["charged_twice"]), by)
    table.add_row(
        "inconsistency", f"{outcome['inconsistency']:,}",
        f"payments; {outcome['audits_differed']} of {len(outcome['audits'])} audits differed",
    )  # fmt: skip
    if outcome["changes"]:
        table.add_section()
        _add_changes(table, outcome["changes_medians"])
    for name, use in outcome["resources"].items():
        table.add_section()
        memory = f", {use['pss_peak_mb']:.0f} MB" if use["pss_peak_mb"] else ""
        limit = f" (the contest allows {CPU_ALLOWED_CORES} and {MEMORY_ALLOWED_MB:.0f} MB)" if name == "engine" else ""
        table.add_row(
            f"CPU of {name}", f"{use['cpu_s']:.1f} s",
            f"{use['cores_mean']:.2f} cores, peak {use['cores_peak']:.2f}{memory}{limit}",
        )  # fmt: skip
        for role, part in use["roles"].items() if len(use["roles"]) > 1 else ():
            memory = f", {part['pss_peak_mb']:.0f} MB" if part["pss_peak_mb"] else ""
            table.add_row(
                f"  {role} x {part['processes']}", f"{part['cpu_s']:.1f} s",
                f"{part['cores_mean']:.2f} cores, peak {part['cores_peak']:.2f}{memory}",
            )  # fmt: skip
    console.print(table)
    for audit in outcome["audits"]:
        if audit["outcome"] != "ok":
            text = f"audit at {audit['at_s']:.0f} s ({audit['kind']}): {audit['reason']}"
            console.print(text, style="red", markup=False)
    for note in outcome["notes"]:
        console.print(f"note: {note}", style="yellow", markup=False)
    if outcome["passed"]:
        console.print("PASSED: all accepted are settled, every audit agreed, nothing was charged twice", style="green")
    else:
        console.print(f"FAILED: {'; '.join(outcome['broken'])}", style="bold red", markup=False)


def _add_changes(table: Table, middle: Json) -> None:
    left_out = f", {middle['not_due']} left out: the cheaper processor was well" if middle["not_due"] else ""
    table.add_row(
        "first after recovery", _ms(middle["first_ms"]), f"until a payment: median of {middle['recoveries']}{left_out}"
    )
    parts = [f"{_number(middle[key])} {text}" for key, text in _WASTED.items()]
    table.add_row("wasted on failing", _number(middle["wasted"]), f"median of {middle['onsets']}: {', '.join(parts)}")


_WASTED = {"caught": "caught there", "sent_soon": "sent within 1 s", "sent_later": "later (probes)"}


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ms"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
