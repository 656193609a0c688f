"""Runs that are killed (SIGKILL) in their steps and executed again from the failure.

Small stages; Dagster, DVC, MLflow, the ledger and the registry's steps are the real ones. By default
one step dies at each moment; with FASHION_OPS_LONG=1 every step, and ticks are killed at random.
"""

import os
import signal
import sys
from itertools import cycle, pairwise
from pathlib import Path

import dagster as dg
import pytest
from clone import Clone
from mortal_runs import CROWNED, HALF, RECORDED, UNCROWNED, UNRECORDED, UPLOADED, Nursery, Order

sys.path.insert(0, str(Path(__file__).parents[2]))
from bench.ticks import run_ticks, small_workspace, status
from fashion_ops import CHAMPION_URI
from fashion_ops.ledger import Ledger, damaged_outputs
from fashion_ops.steps import PARTITIONS, REGISTRY
from pipelines.run_owner import runs_in_progress
from pipelines.steps import BATCHES, steps_by_job

STEPS = steps_by_job()["pipeline"]
LONG = "FASHION_OPS_LONG" in os.environ
DOOMED = {*STEPS} - {*REGISTRY, BATCHES} if LONG else {"ingest", "finetune", "evaluate"}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Clone, dict[str, str]]:
    clone, env = small_workspace(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", env["DAGSTER_HOME"])
    return clone, env


def killed(nursery: Nursery, instance: dg.DagsterInstance, order: Order) -> tuple[str, str]:
    """Have a run die as ordered; returns its id and the step that it died in, once it is closed."""
    assert nursery.run(order) == -signal.SIGKILL, order
    [run] = instance.get_runs(limit=1)
    assert run.status == dg.DagsterRunStatus.STARTED  # nobody could tell Dagster
    stats = instance.get_run_step_stats(run.run_id)
    [step] = [s.step_key for s in stats if s.start_time and not s.end_time]
    assert runs_in_progress(instance) == []
    return run.run_id, step


def test_killed_in_its_steps_and_executed_again_from_the_failure(
    small: tuple[Clone, dict[str, str]],
) -> None:
    clone, env = small
    ledger, parent, died = Ledger(clone.root), None, []
    moments = cycle([HALF, UNRECORDED, RECORDED])
    with (
        Nursery(clone.root, env, clone.root.parent / "runs.log") as nursery,
        dg.DagsterInstance.get() as instance,
    ):
        while alive := DOOMED - {*died}:
            moment = next(moments)
            before = set(ledger.entries())
            order = Order(parent, moment, tuple(sorted({*STEPS} - alive)))
            parent, step = killed(nursery, instance, order)
            died.append(step)
            entries = ledger.entries()
            stages = [name for name in ledger.stages() if name.partition("@")[0] == step]
            recorded = [name for name in stages if name in entries and name not in before]
            completed = 2 if step in PARTITIONS else 0  # the third one dies
            assert len(recorded) == completed + (moment == RECORDED), (step, moment)
            assert all(ledger.is_current(name) for name in recorded)
            assert not any(ledger.is_current(name) for name in stages if name not in recorded)
            assert damaged_outputs(ledger) == {}
        for moment in (UPLOADED, UNCROWNED, CROWNED):
            order = Order(parent, moment)
            parent, step = killed(nursery, instance, order)
            assert step == ("register" if moment == UPLOADED else "promote")
            has_champion = nursery.run(Order(load=CHAMPION_URI)) == 0
            assert has_champion == (moment == CROWNED)
        assert nursery.run(Order(parent)) == 0
        assert nursery.run(Order(load=CHAMPION_URI)) == 0
        records = instance.get_run_records(ascending=True)
        spans = [(r.start_time or 0.0, r.end_time or 0.0) for r in records]
        assert len(spans) == len(died) + 4
        assert all(one[1] <= two[0] for one, two in pairwise(spans))
        # Nothing was made twice that was recorded before a death, and no version twice.
        made = instance.fetch_materializations(dg.AssetKey("register"), limit=10).records
        assert len(made) == 1
    assert status(clone) == {}
    ledger.verify("evaluate")
    assert not [path for path in clone.root.rglob(".*.partial") if path.parent.name != ".checkpoints"]


@pytest.mark.skipif(not LONG, reason="minutes; set FASHION_OPS_LONG=1")
def test_random_ticks(small: tuple[Clone, dict[str, str]]) -> None:
    clone, env = small
    tally = run_ticks(clone, env, ticks=3, seed=12)  # the second one dies early
    assert (tally.runs, tally.guarded, tally.killed) == (3, 3, 1)
    assert (tally.overlapping, tally.lost, tally.incomplete, tally.no_champion) == (0, [], [], 0)
    assert tally.status == "clean"
