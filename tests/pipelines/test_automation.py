"""The sync with dvc.lock as Dagster sees it, the schedule, and runs whose process died."""

import subprocess
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.definitions.schedule_definition import ScheduleExecutionData
from dagster._core.loader import LoadingContextForTest

from fashion_ops.params import Params, Retrain
from fashion_ops.taxonomy import CATEGORY_NAMES
from pipelines import lineage
from pipelines.definitions import build
from pipelines.home import prepare_home
from pipelines.resources import RepositoryResource
from pipelines.run_owner import OWNER_TAG, runs_in_progress, this_process
from pipelines.schedules import make_schedule
from pipelines.sensors import dvc_lock

UPSTREAM = (
    *("synthesize", "ingest", "aggregate", "pseudo_label", "drift"),
    *("train_detector", "tune_postprocess", "train_box_detector", "train_landmarker"),
)


def make(repository: Any, stages: Any, stage: str, text: str = "") -> None:
    """Make and record one stage as the command line would: without Dagster."""
    snapshot = repository.ledger.snapshot(stage)
    step, category = lineage.split(stage)
    module = stages.module(step)
    params = RepositoryResource(root=str(repository.root)).params()
    if category:
        module.publish(repository.ws, category, module.work((params, category)) + text)
    else:
        module.run(params, repository.ws)
    repository.ledger.commit(stage, snapshot)


def tick(repository: Any, cursor: str | None = None) -> tuple[str, str | None]:
    """One evaluation of the sensor: what it says, and its new cursor."""
    with dg.build_sensor_context(
        instance=repository.instance,
        cursor=cursor,
        resources={"repository": RepositoryResource(root=str(repository.root))},
    ) as context:
        data = dvc_lock.evaluate_tick(context)
    return str(data.skip_message), data.cursor


def status(repository: Any, *stages: str) -> list[StaleStatus]:
    graph = build(repository.root).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(
        repository.instance, graph, LoadingContextForTest(repository.instance)
    )
    return [resolver.get_status(dg.AssetKey(s), c) for s, c in map(lineage.split, stages)]


def test_what_was_made_in_a_terminal_shows_as_fresh(repository: Any, stages: Any) -> None:
    fresh, stale = StaleStatus.FRESH, StaleStatus.STALE
    everything = [*UPSTREAM]
    everything += [f"{step}@{name}" for step in ("finetune", "refine") for name in CATEGORY_NAMES]
    for stage in [*everything, "evaluate"]:
        make(repository, stages, stage)
    said, cursor = tick(repository)
    assert said.startswith("reported synthesize, ingest") and said.endswith("evaluate")
    assert set(status(repository, *everything, "evaluate")) == {fresh}
    assert tick(repository, cursor)[0] == "dvc.lock is unchanged"
    assert tick(repository)[0] == "nothing new in dvc.lock"  # also after the cursor was lost

    # One category made anew: what was made from the old one is stale, until it is made anew too.
    make(repository, stages, "finetune@skirt", "changed")
    assert tick(repository, cursor)[0] == "reported finetune@skirt"
    followers = ("finetune@skirt", "refine@skirt", "refine@vest", "evaluate")
    assert status(repository, *followers) == [fresh, stale, fresh, stale]
    make(repository, stages, "refine@skirt", "changed")
    make(repository, stages, "evaluate")
    assert tick(repository, cursor)[0] == "reported refine@skirt, evaluate"
    assert status(repository, *followers) == [fresh] * 4

    # Two changes between two ticks; evaluate is still made from the old ones.
    make(repository, stages, "finetune@vest", "changed")
    make(repository, stages, "refine@vest", "changed")
    tick(repository, cursor)
    assert status(repository, "finetune@vest", "refine@vest", "evaluate") == [fresh, fresh, stale]


def test_an_event_told_late_does_not_look_fresh(repository: Any, stages: Any) -> None:
    """Refined from the old model, recorded; then the new model; Dagster hears of both at once."""
    for stage in (*UPSTREAM, "finetune@skirt", "refine@skirt"):
        make(repository, stages, stage)
    make(repository, stages, "finetune@skirt", "changed")
    tick(repository)
    found = status(repository, "finetune@skirt", "refine@skirt")
    assert found == [StaleStatus.FRESH, StaleStatus.STALE]


def test_the_sensor_waits_for_a_run_in_progress(repository: Any, stages: Any) -> None:
    make(repository, stages, "synthesize")
    repository.instance.create_run_for_job(dg_job(repository), status=dg.DagsterRunStatus.STARTED)
    said, cursor = tick(repository)
    assert "is in progress" in said and cursor is None
    assert lineage.latest(repository.instance, "synthesize", None) is None


def test_the_schedule_skips_current_work_and_never_overlaps(
    repository: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    retrain = make_schedule("pipeline", Retrain())

    def tick_schedule() -> ScheduleExecutionData:
        with dg.build_schedule_context(instance=repository.instance) as context:
            return retrain.evaluate_tick(context)

    [request] = tick_schedule().run_requests or []
    assert request.tags["fashion_ops/skip_current"] == "true"
    assert request.tags["dagster/asset_partition_range_start"] == CATEGORY_NAMES[0]
    assert request.tags["dagster/asset_partition_range_end"] == CATEGORY_NAMES[-1]
    job, statuses = dg_job(repository), dg.DagsterRunStatus
    run = repository.instance.create_run_for_job(job, status=statuses.STARTED)
    data = tick_schedule()
    assert not data.run_requests and data.skip_message == f"run {run.run_id} is in progress"

    def queued(instance: Any, filters: dg.RunsFilter, **_: Any) -> list[dg.DagsterRun]:
        return [run] if statuses.QUEUED in filters.statuses else []

    monkeypatch.setattr(dg.DagsterInstance, "get_runs", queued)
    data = tick_schedule()
    assert not data.run_requests and data.skip_message == f"run {run.run_id} is queued already"


def test_when_it_runs_stands_in_params(repository: Any) -> None:
    stopped = build(repository.root).get_schedule_def("retrain")
    assert (stopped.cron_schedule, stopped.execution_timezone) == ("0 3 * * 1", "UTC")
    assert stopped.default_status == dg.DefaultScheduleStatus.STOPPED
    text = repository.ws.params.read_text()
    text = text.replace('cron: "0 3 * * 1"', 'cron: "30 4 * * *"').replace(
        "timezone: UTC\n  enabled: false", "timezone: Asia/Tokyo\n  enabled: true"
    )
    repository.ws.params.write_text(text)
    running = build(repository.root).get_schedule_def("retrain")
    assert (running.cron_schedule, running.execution_timezone) == ("30 4 * * *", "Asia/Tokyo")
    assert running.default_status == dg.DefaultScheduleStatus.RUNNING
    with pytest.raises(ValueError, match="IANA time zone"):
        Params.model_validate({"retrain": {"timezone": "Mars/Olympus"}})


def test_a_run_whose_process_is_gone_does_not_block(repository: Any, stages: Any) -> None:
    gone, zombie = subprocess.Popen(["true"]), subprocess.Popen(["true"])
    gone.wait()
    host, pid, start = this_process().split(":")
    jobs, started = dg_job(repository), dg.DagsterRunStatus.STARTED

    def begin(process: str) -> str:
        tags = {OWNER_TAG: process}
        return repository.instance.create_run_for_job(jobs, status=started, tags=tags).run_id

    dead = [begin(f"{host}:{gone.pid}:{start}"), begin(f"{host}:{zombie.pid}:{start}")]
    dead.append(begin(f"{host}:{pid}:{int(start) - 1}"))  # another process had our pid before
    alive = [begin(this_process()), begin(f"elsewhere:{gone.pid}:{start}")]
    assert sorted(runs_in_progress(repository.instance)) == sorted(alive)
    assert {repository.instance.get_run_by_id(i).status for i in dead} == {dg.DagsterRunStatus.FAILURE}
    zombie.wait()


def test_home_is_absolute_and_has_the_settings(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (tmp_path / "infra" / "dagster-extra.yaml").write_text("nux: {enabled: false}\n")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    home = prepare_home(tmp_path)
    assert home.is_absolute() and home == tmp_path / ".dagster"
    assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"
    monkeypatch.setenv("DAGSTER_SETTINGS", "extra")
    prepare_home(tmp_path)
    assert (home / "dagster.yaml").read_text().endswith("}\nnux: {enabled: false}\n")
    monkeypatch.delenv("DAGSTER_HOME")


def dg_job(repository: Any) -> dg.JobDefinition:
    return build(repository.root).resolve_job_def("pipeline")
