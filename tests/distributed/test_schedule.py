"""Schedules by hand, against brute force, and the way from a run's events to its timesheet."""

import itertools
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_ops.distributed.by_category import job_costs
from fashion_ops.distributed.gantt import Panel, draw_schedules
from fashion_ops.distributed.job_store import Event
from fashion_ops.distributed.schedule import longest_first, lower_bound, pace, tasks_at_once
from fashion_ops.distributed.timesheet import COMPLETED, FAILED, Recorder, Timesheet
from fashion_ops.params import CategorySettings, CategoryTraining, Params
from fashion_ops.workspace import Workspace


def best(durations: list[int], slots: int) -> int:
    """The shortest makespan of all assignments."""
    return min(
        max(
            sum(d for d, s in zip(durations, choice, strict=True) if s == slot) for slot in range(slots)
        )
        for choice in itertools.product(range(slots), repeat=len(durations))
    )


def test_graham_1969_worst_case_of_longest_first() -> None:
    # Graham's example for two machines: 3, 3, 2, 2, 2 takes 7, the best is 6 (4/3 - 1/(3 * 2) = 7/6).
    schedule = longest_first(dict(zip("abcde", [3, 3, 2, 2, 2], strict=True)), 2)
    assert schedule.makespan == 7 and schedule.lower_bound == 6
    assert [(bar.name, bar.slot, bar.start) for bar in schedule.bars] == [
        *(("a", 0, 0), ("b", 1, 0), ("c", 0, 3), ("d", 1, 3), ("e", 0, 5)),
    ]


def test_a_job_on_two_slots_waits_for_both_and_takes_half_as_long() -> None:
    """By hand: 8 on both until 4, then 3 and 3, then 2; all work spread evenly would take 8."""
    schedule = longest_first({"wide": 8, "b": 3, "c": 3, "d": 2}, 2, {"wide": 2})
    assert schedule.makespan == 9 and schedule.lower_bound == 8
    assert [(bar.name, bar.slot, bar.start, bar.end) for bar in schedule.bars] == [
        *(("wide", 0, 0, 4), ("wide", 1, 0, 4), ("b", 0, 4, 7), ("c", 1, 4, 7), ("d", 0, 7, 9)),
    ]
    late = longest_first({"long": 9, "wide": 8}, 3, {"wide": 4})  # three slots, of which one is taken
    assert late.makespan == pytest.approx(9 + 8 / 3) and late.lower_bound == 9


@pytest.mark.parametrize(
    ("durations", "slots", "bound"),
    [
        ([9, 1, 1], 3, 9),  # the longest
        ([2, 2, 2, 2], 2, 4),  # spread evenly
        ([5, 5, 5], 2, 10),  # two of three share a slot
        ([4, 4, 4, 4, 4], 2, 12),  # three of five
        ([], 2, 0),
    ],
)
def test_lower_bound_by_hand(durations: list[float], slots: int, bound: float) -> None:
    assert lower_bound({str(i): d for i, d in enumerate(durations)}, slots) == bound


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(1, 3))
def test_bound_best_and_longest_first_are_in_order(durations: list[int], slots: int) -> None:
    named = {str(i): float(d) for i, d in enumerate(durations)}
    schedule, optimum = longest_first(named, slots), best(durations, slots)
    assert lower_bound(named, slots) <= optimum + 1e-9
    assert optimum <= schedule.makespan <= (4 / 3 - 1 / (3 * slots)) * optimum + 1e-9
    for one, other in itertools.combinations(schedule.bars, 2):
        assert one.slot != other.slot or one.end <= other.start or other.end <= one.start


@pytest.mark.parametrize(
    ("node", "task", "slots"),
    [
        ((16, 4), (1, 1.0), 4),
        ((16, 4), (1, 0.3), 12),  # three share a GPU; a tenth of each stays free
        ((16, 4), (1, 2.0), 2),
        ((16, 4), (8, 0.5), 2),  # CPUs run out first
        ((16, 1), (1, 2.0), 0),
        ((16, 0), (2, 0.0), 8),
    ],
)
def test_tasks_of_a_node(node: tuple, task: tuple, slots: int) -> None:
    assert tasks_at_once(*node, *task) == slots


def test_pace_finds_start_up_and_rate() -> None:
    found = pace([(cost, 5 + 0.01 * cost) for cost in (100, 400, 2000)])
    assert (found.start, found.rate, found.unit) == (pytest.approx(5), pytest.approx(0.01), "s")
    assert pace([(100, 30.0)]).duration(50) == 15  # one job tells no start-up
    assert pace([]).duration(7) == 7 and pace([]).unit == "garment-epochs"


def events() -> list[Event]:
    return [
        Event("started", "skirt", 101.0, "east"),
        Event("started", "vest", 102.0, "east"),
        Event("epoch", "skirt", 103.0, epoch=1),
        Event("ended", "vest", 104.0),
        Event("started", "skirt", 106.0, "west", resumed=True),
        Event("ended", "skirt", 109.0),
        Event("started", "sling", 104.5, "east"),
        Event("ended", "sling", 105.0),
    ]


def timesheet() -> Timesheet:
    recorder = Recorder("finetune", 100.0)
    recorder.update_slots(2)
    recorder.update_slots(1)
    recorder.update(events())
    recorder.finish("vest", 5, 1, COMPLETED)
    recorder.finish("skirt", 9, 1, COMPLETED)
    recorder.finish("sling", 1, 1, FAILED)
    return recorder.timesheet(110.0)


def test_a_lost_worker_is_a_lost_bar_on_its_own_node(tmp_path: Path) -> None:
    path = tmp_path / "timesheets" / "finetune.json"
    timesheet().write(path)
    read = Timesheet.read(path)
    assert read == timesheet() and [p.name for p in path.parent.iterdir()] == ["finetune.json"]
    schedule = read.schedule()
    assert (schedule.slots, schedule.makespan) == (2, 10)
    assert [(b.name, b.slot, b.start, b.end, b.lost) for b in schedule.bars] == [
        ("skirt", 0, 1, 3, True),
        ("vest", 1, 2, 4, False),
        ("sling", 0, 4.5, 5, False),
        ("skirt", 2, 6, 9, False),
    ]
    assert read.measured() == [(5, 2.0)]  # neither the interrupted nor the failed one


def test_a_wide_job_has_a_bar_on_each_of_its_slots(tmp_path: Path) -> None:
    recorder = Recorder("finetune", 100.0)
    recorder.update_slots(2)
    for name, started, ended in [("trousers", 101.0, 105.0), ("skirt", 105.5, 107.5)]:
        recorder.update([Event("started", name, started, "east"), Event("ended", name, ended)])
    recorder.finish("trousers", 16, 2, COMPLETED)
    recorder.finish("skirt", 4, 1, COMPLETED)
    recorder.timesheet(107.5).write(tmp_path / "finetune.json")
    read = Timesheet.read(tmp_path / "finetune.json")
    schedule = read.schedule()
    assert [(b.name, b.slot, b.start, b.end) for b in schedule.bars] == [
        ("trousers", 0, 1, 5),
        ("trousers", 1, 1, 5),
        ("skirt", 0, 5.5, 7.5),
    ]
    assert schedule.lower_bound == 5  # 4 s on both slots, 2 s on one
    assert read.measured() == [(8, 4.0), (4, 2.0)]  # cost on each slot


def test_a_broken_timesheet_is_named(tmp_path: Path) -> None:
    (tmp_path / "finetune.json").write_text('{"what": "finetune"}')
    with pytest.raises(ValueError, match=r"finetune\.json: no timesheet .*jobs.*delete it"):
        Timesheet.read(tmp_path / "finetune.json")


def test_a_timesheet_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    timesheet().write(tmp_path / "finetune.json")
    text = (tmp_path / "finetune.json").read_text()
    text = text.replace('"step": "finetune"', '"what": "finetune"').replace("completed", "landed")
    (tmp_path / "finetune.json").write_text(text)
    assert Timesheet.read(tmp_path / "finetune.json") == timesheet()


def test_images_of_schedules_are_the_same_each_time(tmp_path: Path) -> None:
    panels = [
        Panel("plan", longest_first({"a": 2, "b": 1}, 2), "s"),
        Panel("ran", timesheet().schedule(), "s"),
    ]
    for name in ("one.png", "two.png"):
        draw_schedules(panels, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_the_cost_of_a_job_is_its_garments_of_the_train_split_times_epochs(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    ws.catalog.mkdir(parents=True)
    rows = [("train", 1)] * 6 + [("train", 9)] * 2 + [("validation", 9)] * 50
    pd.DataFrame(rows, columns=["split", "category_id"]).to_parquet(ws.catalog / "garments.parquet")
    params = Params()
    skirt = CategorySettings(finetune=CategoryTraining(lr=0.1, epochs=7))
    params = params.model_copy(update={"categories": params.categories | {"skirt": skirt}})
    ws.params.write_text(yaml.safe_dump(params.model_dump(mode="json", by_alias=True)))
    costs = job_costs("finetune", params, ws)
    assert (costs["short_sleeve_top"], costs["skirt"], costs["vest"]) == (24, 14, 0)
