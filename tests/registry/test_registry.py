"""Register and promote against a real MLflow in SQLite, with a bundle of small files.

What the gate measures is put in here from metrics.json; ``test_gate`` and ``test_measurements`` hold
the measuring.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from measured import measured
from mlflow.artifacts import load_dict
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, RESOURCE_DOES_NOT_EXIST
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from fashion_ops.ledger import Ledger, LedgerError
from fashion_ops.params import Params
from fashion_ops.registry import client as registry
from fashion_ops.registry import transitions
from fashion_ops.services import ServiceError
from fashion_ops.steps import promote, register
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace

PIPELINE = """
stages:
  train:
    cmd: echo made by hand
    deps: [source.txt]
    outs: [models]
  evaluate:
    cmd: echo made by hand
    deps: [models]
    outs: [reports/evaluation]
"""


def metrics(ap: float, box_ap: float = 0.6, **categories: float) -> dict[str, Any]:
    per_category = {name: categories.get(name, ap) for name in CATEGORY_NAMES}
    return {
        "landmark_ap": {"mean_shape": 0.1, "refined": ap},
        "landmark_ap_own_boxes": {"refined": ap},
        "box_ap": box_ap,
        "per_category": {
            name: {"box_ap": box_ap, "train": 9, "validation": 3, "landmark_ap": {"refined": value}}
            for name, value in per_category.items()
        },
    }


def make(ws: Workspace, text: str, scores: dict[str, Any]) -> None:
    """Models that hold ``text``, evaluated with these numbers, recorded in the ledger."""
    shutil.rmtree(ws.root / "models", ignore_errors=True)
    folders = [ws.detector, ws.postprocess, ws.landmarker]
    folders += [f(name) for name in CATEGORY_NAMES for f in (ws.finetuned, ws.refined)]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(text)
    ws.evaluation.mkdir(parents=True, exist_ok=True)
    (ws.evaluation / "metrics.json").write_text(json.dumps(scores))
    ledger = Ledger(ws.root)
    for stage in ("train", "evaluate"):
        ledger.commit(stage, ledger.snapshot(stage))


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """One repository and registry for the module: MLflow needs seconds to set one up."""
    root = tmp_path_factory.mktemp("repository")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=root, check=True)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "params.yaml").write_text("seed: 0\n")
    (root / "source.txt").write_text("source")
    (root / ".gitignore").write_text("/models/\n/reports/\n/.mlflow/\n")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("FASHION_OPS_ROOT", str(root))
        patch.chdir(elsewhere)
        patch.setattr(register, "write_evaluation", lambda *_: None)
        patch.setattr(promote, "measure", measured)
        yield Workspace(root)
        assert list(elsewhere.iterdir()) == []  # nothing depends on the working directory


@pytest.mark.parametrize(
    ("code", "kind"), [(INTERNAL_ERROR, ServiceError), (RESOURCE_DOES_NOT_EXIST, FileNotFoundError)]
)
def test_what_cannot_be_fetched_is_not_missing(ws: Workspace, monkeypatch, code, kind) -> None:
    def fail(**_: object) -> str:
        raise MlflowException("the store says no", error_code=code)

    monkeypatch.chdir(ws.root)
    monkeypatch.setattr("fashion_ops.registry.client.download_artifacts", fail)
    with pytest.raises(kind, match=r"models:/garments/1: .*the store says no"):
        registry.fetch_bundle("models:/garments/1")


@pytest.mark.parametrize("fails", ["list_artifacts", "download_artifacts"])
@pytest.mark.parametrize(
    "error",
    [
        MlflowException("the store is gone", error_code=INTERNAL_ERROR),
        MlflowException("API request to http://s failed with exception Max retries exceeded"),
        ConnectionError("the store is gone"),
    ],
)
def test_a_record_that_the_store_fails_to_give_is_not_missing(
    ws: Workspace, monkeypatch, fails: str, error: Exception
) -> None:
    """MLflow's own address ``runs:/`` says of all of these failures that nothing is there."""
    client = registry.connect(ws.root)
    experiment = client.get_experiment_by_name(registry.EXPERIMENT)
    run = client.create_run(experiment.experiment_id).info.run_id
    client.log_text(run, "{}", "metrics.json")
    version = ModelVersion("records", "7", 0, run_id=run)
    assert registry.metrics_of(version) == {}
    with pytest.raises(FileNotFoundError, match=r"version 7: has no record 'checks\.json'; `fash"):
        registry.fetch_record(version, "checks.json")
    with pytest.raises(FileNotFoundError, match=r"version 7: has no record 'metrics\.json'"):
        registry.metrics_of(ModelVersion("records", "7", 0, run_id="0" * 32))

    def fail(*_: object) -> Any:
        raise error

    monkeypatch.setattr(LocalArtifactRepository, fails, fail)
    with pytest.raises(ServiceError):
        registry.fetch_record(version, "metrics.json")


def test_from_challenger_to_champion_and_back_out(ws: Workspace) -> None:
    params, client = Params(), registry.connect(ws.root)
    name = params.registration.model
    with pytest.raises(ValueError, match="no challenger"):
        promote.run(params, ws)
    with pytest.raises(FileNotFoundError, match=f"{name}@champion: not in the registry"):
        registry.fetch_bundle(f"models:/{name}@champion")

    make(ws, "first", metrics(0.6))
    assert register.run(params, ws, {"dagster_run_id": "run-1"}) == {"version": 1, "new": True}
    version = registry.with_alias(client, name, "challenger")
    assert version is not None and version.tags["dagster_run_id"] == "run-1"
    assert version.tags["dvc_lock_md5"] == registry.file_md5(ws.root / "dvc.lock")
    assert promote.run(params, ws)["promoted"] is True
    folder = registry.fetch_bundle(f"models:/{name}@champion")
    assert (folder / "finetuned" / "skirt" / "model.json").read_text() == "first"
    assert (folder / "postprocess" / "model.json").read_text() == "first"
    assert (folder / "dvc.lock").read_bytes() == (ws.root / "dvc.lock").read_bytes()
    run = client.get_run(str(version.run_id))
    assert run.data.metrics["landmark_ap.refined"] == 0.6
    assert run.data.metrics["per_category.skirt.landmark_ap.refined"] == 0.6
    assert run.data.params["categories.skirt.finetune.lr"] == "0.0005"

    # It carries its cards, and a description that no person wrote.
    for name_of_card, words in (("model_card.md", "0.600"), ("data_card.md", "not at hand")):
        card = registry.fetch_record(version, name_of_card).read_text()
        assert words in card and card == (folder / name_of_card).read_text()
    described = client.get_model_version(name, "1")
    assert described.description.startswith(f"{name} 1: AP 0.600 with ground-truth boxes")
    assert not registry.has_own_description(described)
    client.update_model_version(name, "1", f"{described.description} Keep it.")
    assert registry.has_own_description(client.get_model_version(name, "1"))

    # The same lineage again: no second version.
    assert register.run(params, ws) == {"version": 1, "new": False}

    # A worse one is refused with the numbers, the champion stays.
    make(ws, "second", metrics(0.55, skirt=0.4))
    assert register.run(params, ws) == {"version": 2, "new": True}
    answer = promote.run(params, ws)
    assert not answer["promoted"] and answer["champion"] == 1
    assert "landmark AP 0.5500 is 0.0500 below the champion's 0.6000" in answer["reasons"]
    assert "skirt: landmark AP 0.4000 is 0.2000 below" in answer["reasons"]
    assert "vest" not in answer["reasons"]  # 0.05 lower is just allowed
    refused = client.get_model_version(name, "2")
    assert json.loads(refused.tags["promotion"])["against"] == 1
    kept = load_dict(f"runs:/{refused.run_id}/promotion.json")
    assert kept["promoted"] is False and kept["against"] == 1
    rows = {f["what"]: (f["new"], f["old"], f["limit"], f["passed"]) for f in kept["findings"]}
    assert rows["skirt: landmark AP"] == (0.4, 0.6, 0.05, False)
    assert rows["landmark AP"] == (0.55, 0.6, 0.0, False)
    page = registry.fetch_record(refused, "promotion.html").read_text()
    assert (
        "refused" in page and "version 2" in page and "<td>skirt</td><td>100</td><td>0.600</td>" in page
    )
    assert page == (ws.promotions / "promotion.html").read_text()

    # A better one takes over, the old one is kept as previous.
    make(ws, "third", metrics(0.7))
    register.run(params, ws)
    assert promote.run(params, ws)["champion"] == 3
    aliases = client.get_registered_model(name).aliases
    assert {alias: int(v) for alias, v in aliases.items()} == {
        "challenger": 3,
        "champion": 3,
        "previous": 1,
    }
    assert (registry.fetch_bundle(f"models:/{name}@previous") / "landmarker" / "model.json").exists()
    assert promote.run(params, ws)["reasons"] == "champion already"
    assert client.get_registered_model(name).aliases["previous"] in ("1", 1)

    events = transitions.history(client, name)
    assert [(e.what, e.version, e.champion) for e in events] == [
        ("promotion", "1", (None, "1")),
        ("refusal", "2", ("1", "1")),
        ("promotion", "3", ("1", "3")),
    ]

    # Back: and the one that was taken out of service does not come back by itself.
    with transitions.begin_transition(client, name, "rollback") as transition:
        transition.roll_back("it mistakes skirts for shorts")
    assert registry.find_version(client, name, "champion").version in (1, "1")
    with (
        pytest.raises(ValueError, match="no previous version to go back to"),
        transitions.begin_transition(client, name, "rollback") as transition,
    ):
        transition.roll_back("too far")

    # What is not as recorded can't be registered.
    (ws.landmarker / "model.json").write_text("edited by hand")
    with pytest.raises(LedgerError, match="train: its output is not the recorded one"):
        register.run(params, ws)
