"""A fan-out's runs in MLflow: parent and children, a point an epoch, how each ended."""

import os
import signal
import subprocess
import time
import warnings
from multiprocessing import get_context
from pathlib import Path

import pytest
from mlflow import MlflowClient

from fashion_ops.distributed.fan_out import FanOutError
from fashion_ops.files.processes import this_process
from fashion_ops.registry import client as registry
from fashion_ops.registry.dead_runs import close_dead_runs
from fashion_ops.registry.tracking import CategoryRuns


def fan_out(root: Path) -> None:
    with CategoryRuns(root, "finetune", {"skirt": {"lr": 0.1}, "vest": {}}) as runs:
        runs.epoch("skirt", 1, {"loss": 2.0})
        runs.epoch("vest", 1, {"loss": 3.0})
        runs.epoch("skirt", 2, {"loss": 1.5, "heatmap": 1.0})
        runs.completed("skirt")
        raise FanOutError("finetune", {"vest": ValueError("diverged")}, 2)


def test_children_hold_a_point_an_epoch_and_how_they_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(FanOutError, match="diverged"):
        fan_out(tmp_path)
    client = registry.connect(tmp_path)
    experiment = client.get_experiment_by_name(registry.EXPERIMENT)
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"finetune", "skirt", "vest"}
    parent = runs["finetune"].info.run_id
    assert {name: run.info.status for name, run in runs.items()} == {
        "finetune": "FAILED",
        "skirt": "FINISHED",
        "vest": "FAILED",
    }
    assert runs["skirt"].data.tags["mlflow.parentRunId"] == parent
    assert runs["vest"].data.tags["mlflow.parentRunId"] == parent
    assert runs["skirt"].data.params == {"lr": "0.1"}
    points = client.get_metric_history(runs["skirt"].info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(1, 2.0), (2, 1.5)]


def test_without_an_epoch_nothing_is_written(tmp_path: Path) -> None:
    with CategoryRuns(tmp_path, "finetune", {}) as runs:
        runs.completed("skirt")
    assert not list(tmp_path.iterdir())


def test_a_dead_server_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with CategoryRuns(tmp_path, "refine", {}) as runs:
            for epoch in range(3):
                runs.epoch("skirt", epoch, {"loss": 1.0})
    said = [str(w.message) for w in caught if "no longer logged" in str(w.message)]
    assert len(said) == 1 and said[0].startswith("refine: no longer logged to MLflow")


def open_run(client: MlflowClient, owner: str | None, hours_ago: float = 0) -> str:
    """An open run that this process, or another one, writes; its last epoch was hours ago."""
    experiment = client.get_experiment_by_name(registry.EXPERIMENT)
    assert experiment is not None
    then = int(1000 * (time.time() - 3600 * hours_ago))
    tags = {} if owner is None else {registry.OWNER_TAG: owner}
    run = client.create_run(experiment.experiment_id, start_time=then - 1000, tags=tags)
    client.log_metric(run.info.run_id, "loss", 1.0, timestamp=then)
    return run.info.run_id


def test_open_runs_of_dead_processes_are_closed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client = registry.connect(tmp_path)
    gone = subprocess.Popen(["true"])
    gone.wait()
    host, pid, start = this_process().split(":")
    dead = [
        open_run(client, f"{host}:{gone.pid}:{start}"),
        open_run(client, f"{host}:{pid}:{int(start) - 1}"),  # another process had our pid before
        open_run(client, f"elsewhere:{pid}:{start}", hours_ago=49),
    ]
    alive = [
        open_run(client, this_process()),
        open_run(client, f"elsewhere:{gone.pid}:{start}", hours_ago=47),
        open_run(client, None, hours_ago=1000),  # somebody else's
    ]
    assert sorted(close_dead_runs(client)) == sorted(dead)
    assert {client.get_run(run).info.status for run in dead} == {"KILLED"}
    assert {client.get_run(run).info.status for run in alive} == {"RUNNING"}
    assert close_dead_runs(client) == []


def train_until_killed(root: Path) -> None:
    runs = CategoryRuns(root, "finetune", {"skirt": {}})
    runs.epoch("skirt", 1, {"loss": 2.0})
    while runs.page("skirt") is None:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_next_fan_out_closes_what_a_killed_one_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    process = get_context("fork").Process(target=train_until_killed, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    client = registry.connect(tmp_path)
    experiment = client.get_experiment_by_name(registry.EXPERIMENT)
    assert experiment is not None

    def statuses() -> list[str]:
        return sorted(run.info.status for run in client.search_runs([experiment.experiment_id]))

    assert statuses() == ["RUNNING", "RUNNING"]  # the step's and the category's
    with CategoryRuns(tmp_path, "refine", {"skirt": {}}) as runs:
        runs.epoch("skirt", 1, {"loss": 2.0})
    assert statuses() == ["FINISHED", "FINISHED", "KILLED", "KILLED"]
