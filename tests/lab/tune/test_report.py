"""What was found is told: the table, the CSV, the pictures, and no more than the runs can carry."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import struct
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from rich.console import Console

from engine.lab.tune import picture, report, space
from engine.lab.tune.objective import Run
from engine.lab.tune.plan import Plan, Slot
from engine.settings import VARIABLES
from tests.lab.tune.plans import BATCH, PAUSE, brought, plan, play


def told(plan: Plan, finished: dict[Slot, Run], width: int = 160) -> str:
    out = io.StringIO()
    report.print_table(plan, finished, Console(file=out, width=width))
    return out.getvalue()


def clear(slot: Slot) -> Run:
    """The first point is the best by far."""
    return brought(1.0 + slot.point + slot.round / 10, cpu_us=300.0, memory_mb=119.0)


def test_the_best_is_told_as_lines_for_a_shell() -> None:
    made = dataclasses.replace(plan(), fixed=(("ENGINE_DATA_DIR", "/a b"),))
    text = told(made, play(made, clear))
    assert (
        "The best:\nexport ENGINE_DATA_DIR='/a b'\nexport ENGINE_DISPATCH_BATCH=16\nexport ENGINE_DISPATCH_PAUSE_MS=2\n"
        in text
    )
    assert "cannot be told from the best" not in text


def test_a_split_of_the_cpu_is_no_setting_and_says_where_it_belongs() -> None:
    split = plan("CPU_SPLIT=0.40/0.35/0.40,0.30/0.40/0.40")
    assert report.settings(split, 1) == [
        "# docker-compose.yml, cpus: nginx 0.30, each API process 0.40, dispatcher 0.40"
    ]


def test_points_that_chance_may_have_put_second_are_counted() -> None:
    finished = play(plan(), lambda slot: brought(5.0 + slot.point / 10 + slot.round if slot.point < 3 else 50.0))
    assert [row.point for row in report.alike(report.rows(plan(), finished))] == [1, 2]
    assert "2 other points cannot be told from the best" in told(plan(), finished)


def test_few_rounds_are_no_proof() -> None:
    assert "hardly tell an effect from chance" in told(plan(rounds=2), play(plan(rounds=2), clear))
    assert "hardly tell an effect from chance" not in told(plan(rounds=3), play(plan(rounds=3), clear))


@pytest.mark.parametrize(("cores", "said"), [(0.1, False), (0.9, True)])
def test_a_machine_that_was_busy_otherwise_is_told(cores: float, said: bool) -> None:
    text = told(plan(), play(plan(), lambda slot: brought(1.0, others_cores=cores if slot.point == 5 else 0.0)))
    assert ("Other work took up to 0.90 cores" in text) == said


def test_of_many_points_the_first_are_shown_and_the_defaults() -> None:
    default = {variable.name: variable.default for variable in VARIABLES}["ENGINE_DRAIN_SECONDS"]
    many = plan(f"ENGINE_DRAIN_SECONDS=1000..1018,{default}")
    lines = told(many, play(many, clear)).splitlines()
    shown = [line for line in lines if line.startswith("│")]
    assert len(shown) == 16
    assert shown[-1].startswith("│ 20 │")
    assert "defaults" in shown[-1]
    assert "and 4 more in summary.csv" in lines


def test_the_defaults_are_marked_and_compared_with_the_best() -> None:
    default = {variable.name: variable.default for variable in VARIABLES}["ENGINE_API_PROCESSES"]
    assert isinstance(default, int)
    tuned = plan(f"ENGINE_API_PROCESSES={default + 1},{default}")
    text = told(tuned, play(tuned, clear))
    assert re.search(r"^│ 1 │ +3 │.*│ +│$", text, re.MULTILINE)
    assert re.search(r"^│ 2 │ +2 │.*│ defaults │$", text, re.MULTILINE)
    assert "The defaults: 2.05 (2 to 2.1); the best: 1.05 (1 to 1.1)" in text


def test_where_nothing_is_good_nothing_is_recommended() -> None:
    text = told(plan(), play(plan(), lambda slot: brought(slot.point, broken="charged twice")))
    assert "No point is good" in text
    assert "export" not in text


def test_a_run_that_is_not_over_says_so() -> None:
    text = told(plan(), play(plan(), clear, runs_max=4))
    assert "not all held yet" in text
    assert "The best so far:" in text
    assert told(plan(), {}) == ""


def test_the_summary_has_a_line_for_each_point_in_order(tmp_path: Path) -> None:
    finished = play(plan(), lambda slot: brought(9.0 - slot.point, broken="late" if slot.point == 5 else ""))
    report.write_summary(plan(), finished, tmp_path / "summary.csv")
    rows = list(csv.DictReader((tmp_path / "summary.csv").open()))
    assert [row["point"] for row in rows] == ["4", "3", "2", "1", "0", "5"]
    assert [row["place"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    first = rows[0]
    assert (first[PAUSE], first[BATCH], first["p99_ms"], first["runs"]) == ("8", "16", "5.0", "2")
    assert (first["low"], first["high"], first["objective"], first["remark"]) == ("5.0", "5.0", "p99", "")
    assert rows[-1]["remark"] == "promises broken"


def size(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    return width, height


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (plan(), {"effects.png", "heat.png"}),
        (plan(f"{PAUSE}=1,2,4"), {"effects.png"}),
        (plan(f"{PAUSE}=4"), set()),
        (plan(f"{PAUSE}=1..9", halving=True), {"effects.png", "halving.png"}),
        (plan(f"{PAUSE}=1,2", f"{BATCH}=8,9", "ENGINE_DURABILITY=memory,disk"), {"effects.png", "heat.png"}),
    ],
)
def test_pictures_are_drawn_of_what_there_is_to_see(made: Plan, expected: set[str], tmp_path: Path) -> None:
    paths = picture.draw(made, play(made, clear), tmp_path)
    assert {path.name for path in paths} == expected == {path.name for path in tmp_path.iterdir()}
    assert all(600 < width < 3000 and 200 < height < 3000 for width, height in map(size, paths))


def test_pictures_are_drawn_of_a_part_and_of_failures(tmp_path: Path) -> None:
    halving = plan(halving=True)
    part = play(halving, lambda slot: Run({}, "no") if slot.point == 1 else brought(slot.point, broken="x"), runs_max=9)
    assert [path.name for path in picture.draw(halving, part, tmp_path)] == ["effects.png", "halving.png"]
    assert picture.draw(halving, {Slot(0, 0, 0): Run({}, "no")}, tmp_path) == []


@pytest.mark.parametrize(
    "vary",
    [
        (f"{PAUSE}=15..240:x2",),
        (f"{PAUSE}=15..240:x2", f"{BATCH}=16,64"),
        (f"{PAUSE}=15,30", f"{BATCH}=16,64", "ENGINE_DISPATCH_TARGET_BATCH=4,8", "ENGINE_DISPATCHER_NICE=0,19"),
        ("CPU_SPLIT=0.40/0.35/0.40,0.50/0.30/0.40", f"{PAUSE}=15,30", "ENGINE_IN_FLIGHT_MAX=100..800:x2"),
    ],
)
@pytest.mark.parametrize("halving", [False, True])
def test_eighty_columns_have_room_for_all_varied_values(vary: tuple[str, ...], halving: bool) -> None:
    made = plan(*vary, halving=halving)
    finished = play(made, lambda slot: brought(10.123 + slot.point / 7, p999_ms=26.5, cpu_us=410.2, memory_mb=77.1))
    lines = told(made, finished, width=80).splitlines()
    table = {line.split("│")[1].strip(): line for line in lines if "│" in line}
    assert max(map(len, lines)) <= 80
    for place, row in enumerate(report.rows(made, finished)[: report.ROWS_SHOWN_MAX], 1):
        shown = [cell.strip() for cell in table[str(place)].split("│")[2:]]
        assert shown[: len(made.axes)] == list(made.points[row.point])
        assert shown[len(made.axes)].endswith(")"), "lowest and highest are whole"
    for axis in made.axes:
        letters = [line for line in lines if line.strip().endswith(f": {axis.name}")]
        assert letters or "DISPATCH_" in "\n".join(lines)


def test_one_round_is_not_told_as_several() -> None:
    made = plan(rounds=1)
    assert "medians of 1 round\n" in re.sub(" +\n", "\n", told(made, play(made, clear)))


def test_a_default_that_is_not_among_the_values_is_told() -> None:
    made = plan(f"{PAUSE}=2,4", f"{BATCH}=16,64")
    text = told(made, play(made, lambda _: brought(3.0)))
    assert "ENGINE_DISPATCH_PAUSE_MS: the default, 60, is not among the values." in text
    assert f"{BATCH}: the default" not in text


def test_what_is_varied_without_options_has_the_default_in_its_middle() -> None:
    makefile = (Path(__file__).parents[3] / "Makefile").read_text()
    (options,) = re.findall(r"^TUNE_OPTIONS \?= (.*)$", makefile, re.MULTILINE)
    for text in re.findall(r"--vary (\S+)", options):
        axis = space.parse_axis(text)
        default = space.default_of(axis)
        assert default in axis.values[1:-1]


def words_of(figure: Figure) -> set[str]:
    """All that is written in legends, below axes and beside points."""
    return {text.get_text() for text in figure.findobj(Text) if text.get_text()}


def test_pictures_say_what_their_marks_mean_and_where_the_defaults_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    made = plan(f"{PAUSE}=30,60,120", f"{BATCH}=64,128", halving=True)
    picture.draw(made, play(made, clear), tmp_path)
    effects, heat, halving = map(words_of, drawn)
    assert {"a contest", "one that broke a promise", "median", "lowest to highest", "the default"} <= effects
    assert {"the best", "the defaults", "brighter is better"} <= heat
    assert {"went on", "ended in its first rung"} <= halving
    assert any("DISPATCH_PAUSE_MS=60 DISPATCH_BATCH=64 (the defaults)" in text for text in halving)
    drawn.clear()
    made = plan(f"{PAUSE}=2,4")
    picture.draw(made, play(made, clear), tmp_path)
    assert "ENGINE_DISPATCH_PAUSE_MS (the default, 60, was not held)" in words_of(drawn[0])
