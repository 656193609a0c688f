"""A fan-out's runs in MLflow: parent and children, a point an epoch, how each ended."""

import warnings
from pathlib import Path

import pytest

from fashion_ops.distributed.fan_out import FanOutError
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
    from fashion_ops.registry import client as registry

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
