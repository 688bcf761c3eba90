"""The result of a chaos run: for JSON, and as tables for people. Pure but for the console that it is handed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from engine.lab.chaos.checks import Blame, Check
from engine.lab.chaos.faults import Served
from engine.lab.chaos.plan import Event, Kill, What
from engine.lab.contest import report as contest_report
from engine.lab.contest.recording import Recording
from engine.lab.results import say

if TYPE_CHECKING:
    from engine.lab.chaos.witness import Story

Json = dict[str, Any]


@dataclass(frozen=True)
class Findings:
    """All that is known of a run.

    Parameters:
      done: what was done, with the seconds since the load began.
      served: the faults of the surroundings, and how soon the engine served after each.
      calm_s: when all trouble was over.
      resets: connections to processors that were reset on the way.
      faults: how often the processors went wrong, by fault.
      ledger: what became of it, where there is one.
    """

    seed: int
    options: Mapping[str, object]
    recording: Recording
    done: Sequence[tuple[float, Event]]
    kills: Sequence[Kill]
    served: Sequence[Served]
    calm_s: float
    resets: int
    faults: Mapping[str, int]
    blame: Blame
    checks: Sequence[Check]
    ledger: Story | None = None

    @property
    def passed(self) -> bool:
        """Whether every promise held."""
        return all(check.holds for check in self.checks)


def result(findings: Findings) -> Json:
    """Everything about a run, for JSON. Times in seconds since the load began."""
    contest = contest_report.result(findings.recording)
    del contest["passed"], contest["broken"]  # a contest's verdict does not know of kills; ours is in the checks
    return {
        "passed": findings.passed,
        "seed": findings.seed,
        "options": dict(findings.options),
        "checks": [asdict(check) for check in findings.checks],
        "kills": [asdict(kill) for kill in findings.kills],
        "surroundings": [asdict(one) for one in findings.served],
        "events": [{"done_s": done_s, **asdict(event)} for done_s, event in findings.done],
        "calm_s": findings.calm_s,
        "resets": findings.resets,
        "faults": dict(findings.faults),
        "errors": [
            {**asdict(sent), "killed": kill.role if kill else None, "killed_s": kill.at_s if kill else None}
            for sent, kill in findings.blame.by_kill
        ],
        "ledger": None if findings.ledger is None else _ledger(findings.ledger),
        "contest": contest,
    }


def _ledger(story: Story) -> Json:
    account = story.account
    return {
        "kind": story.kind,
        "payments": story.payments,
        "requests": account.heard,
        "attempts": account.attempts,
        "requests_without_attempt": len(account.missing),
        "attempts_without_request": len(account.extra),
        "gaps": [asdict(gap) for gap in story.gaps],
        "lag_ms_max": max((one.lag_ms for one in story.lags), default=None),
        "lag_ms_at_end": story.lags[-1].lag_ms if story.lags else None,
        "caught_up_s": story.caught_up_s,
        "lags": [asdict(one) | {"at_s": round(one.at_s - story.begin_epoch_s, 3)} for one in story.lags],
    }


def _row_of_ledger(findings: Findings, story: Story) -> str:
    """A line of a Markdown table, for a document."""
    account, kills = story.account, [kill.role for kill in findings.kills]
    of_each = ", ".join(f"{role} {kills.count(role)}" for role in sorted(set(kills)))
    lag_s = max((one.lag_ms for one in story.lags), default=0) / 1000
    caught = "never" if story.caught_up_s is None else f"{story.caught_up_s:.1f} s"
    gaps = sum(gap.missing for gap in story.gaps)
    cells = (
        story.kind, f"{findings.seed}", f"{len(kills)} ({of_each})", f"{findings.recording.accepted:,}",
        f"{story.payments:,}", f"{account.heard:,}", f"{account.attempts:,}", f"{len(account.missing)}",
        f"{len(account.extra)}", f"{len(story.gaps)} ({gaps})", f"{lag_s:.1f} s", caught,
        "all hold" if findings.passed else "BROKEN",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


_COLUMNS_OF_LEDGER = (
    "database", "seed", "kills", "accepted", "payments in SQL", "requests seen", "attempts in SQL",
    "requests without attempt", "attempts without request", "gaps (missing)", "lag at most", "caught up", "checks",
)  # fmt: skip


def print_tables(findings: Findings, console: Console) -> None:
    """What was done, and what held."""
    console.print(_worst(findings))
    if findings.served:
        console.print(_surroundings(findings.served))
    table = Table(title="What must hold", title_style="bold", padding=(0, 1))
    table.add_column("promise", style="cyan")
    table.add_column("", no_wrap=True)
    table.add_column("seen", overflow="fold")
    for check in findings.checks:
        table.add_row(check.name, "[green]holds[/]" if check.holds else "[bold red]BROKEN[/]", check.detail)
    console.print(table)
    if findings.ledger is not None:
        for gap in findings.ledger.gaps:
            say(console, f"gap: {gap.source}, {gap.missing} missing: {gap.why}")
        say(console, f"| {' | '.join(_COLUMNS_OF_LEDGER)} |\n|{'---|' * len(_COLUMNS_OF_LEDGER)}")
        say(console, _row_of_ledger(findings, findings.ledger))
    for note in findings.recording.notes:
        console.print(f"note: {note}", style="yellow", markup=False)
    if findings.passed:
        console.print(f"PASSED with seed {findings.seed}", style="green")
    else:
        broken = "; ".join(check.name for check in findings.checks if not check.holds)
        console.print(f"FAILED with seed {findings.seed}. Not so: {broken}", style="bold red", markup=False)


def _surroundings(served: Sequence[Served]) -> Table:
    """Each fault, and when the engine served again."""
    table = Table(title="What happened to the surroundings", title_style="bold", padding=(0, 1))
    table.add_column("at s", justify="right")
    table.add_column("fault", style="cyan")
    table.add_column("for s", justify="right")
    table.add_column("served after ms", justify="right")
    table.add_column("until then", style="dim", overflow="fold")
    for one in served:
        bout = one.bout
        lasted = f"{bout.over_s - bout.at_s:.1f}" if bout.over_s is not None else "-"
        after = "[bold red]never[/]" if one.after_s is None else f"{one.after_s * 1000:,.0f}"
        what = f"{bout.fault}{bout.target and f' ({bout.target})'}"
        table.add_row(f"{bout.at_s:.1f}", what, lasted, after, "; ".join(one.complaints))
    return table


def _worst(findings: Findings) -> Table:
    table = Table(title=f"What was done (seed {findings.seed})", title_style="bold", show_header=False, padding=(0, 1))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(justify="right")
    table.add_column(style="dim")
    blamed = findings.blame.by_role()
    for role in sorted({kill.role for kill in findings.kills}):
        kills = [kill for kill in findings.kills if kill.role == role]
        longest_s = max((kill.back_s - kill.at_s for kill in kills if kill.back_s is not None), default=0.0)
        table.add_row(f"kill -9 {role}", f"{len(kills)}",
                      f"back after at most {longest_s:.2f} s; {blamed[role]} clients saw an error")  # fmt: skip
    networks = [event for _, event in findings.done if event.what is What.NETWORK and event.trouble != "none"]
    if networks:
        kinds = sorted({str(event.trouble) for event in networks})
        table.add_row("troubles on the way", f"{len(networks)}",
                      f"{', '.join(kinds)}; {findings.resets} connections reset")  # fmt: skip
    for name, count in sorted(findings.faults.items()):
        table.add_row(name.replace("_", " "), f"{count:,}", "answers of a processor")
    for done_s, event in findings.done:
        if event.what in (What.FILL_DISK, What.FREE_DISK):
            table.add_row(str(event.what), f"{done_s:.0f} s")
    recording = findings.recording
    audits = [audit.outcome for audit in recording.audits if audit.kind == "periodic"]
    p99_ms = recording.samples.p99_ms()
    table.add_section()
    table.add_row("payments", f"{recording.requested:,}",
                  f"{recording.accepted:,} accepted; p99 {'-' if p99_ms is None else f'{p99_ms:.1f} ms'}")  # fmt: skip
    drained = "not all settled" if recording.drain_s is None else f"all settled {recording.drain_s:.1f} s later"
    at_end = recording.settled_at_end
    table.add_row("settled at the end", f"{at_end.count:,}" if at_end else "?", drained)
    differed = ", ".join(f"{audits.count(outcome)} {outcome}" for outcome in sorted(set(audits)))
    # Not judged: the engine cannot know of a charge whose answer is lost, late or hangs.
    table.add_row("audits meanwhile", f"{len(audits)}", f"{differed} (told, not judged: an answer may be on its way)")
    return table
