"""Versions of DFA and GLE against a real MLflow: registered, promoted, refused, served, restored."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from synthetic_alignment import read_in, write_alignment_data
from typer.testing import CliRunner
from untrained_alignment import GLE, make_dfa, make_gle
from untrained_models import DETECTOR

from fashion_ops.catalog.alignment.reader import AlignmentCatalog
from fashion_ops.cli import app
from fashion_ops.evaluation.bootstrap_errors import compare_errors
from fashion_ops.inference.alignment_predictor import AlignmentFolder
from fashion_ops.ledger import Ledger, LedgerError
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.centernet.inference import build as build_detector
from fashion_ops.methods.centernet.postprocess_file import write_postprocess
from fashion_ops.methods.parts.device import CPU
from fashion_ops.params import Params, PostProcess
from fashion_ops.registry import client as registry
from fashion_ops.registry import transitions
from fashion_ops.registry.restore import restore, verify
from fashion_ops.steps import promote_alignment, register_alignment
from fashion_ops.workspace import Workspace

NAME = "garment-alignment"
PIPELINE = """
stages:
  train_detector: {cmd: echo, deps: [source.txt], outs: [models/detector]}
  tune_postprocess: {cmd: echo, deps: [models/detector], outs: [models/postprocess]}
  dfa_stage:
    foreach:
      "1": {before: source.txt}
      "2": {before: models/dfa/1}
      "3": {before: models/dfa/2}
    do: {cmd: echo, deps: ["${item.before}"], outs: ["models/dfa/${key}"]}
  train_gle: {cmd: echo, deps: [source.txt], outs: [models/gle]}
"""
STAGES = ("train_detector", "tune_postprocess", *(f"dfa_stage@{n}" for n in (1, 2, 3)), "train_gle")
LENIENT = {"max_ne": 10.0, "min_gain": -10.0, "max_latency_ratio": 1000.0, "resamples": 200}
runner = CliRunner()


def params(method: str = "dfa", split: str = "test", **gate) -> Params:
    return Params.model_validate(
        {
            "register_alignment": {"method": method, "split": split},
            "promote_alignment": LENIENT | gate,
            "distributed": {"device": "cpu"},
        }
    )


def predict(ws: Workspace, method: str, target: Path, off: float = 0.0) -> None:
    """Write the predictions that the step of a method would leave, ``off`` pixels to the right."""
    catalog = AlignmentCatalog(ws.alignment_catalog / "fld")
    rows = catalog.points("test")
    model = AlignmentFolder.find(ws.root / "models" / method).load(CPU)
    found = model.predict_garments(catalog.image, rows.image_id, rows.box, rows.clothes_type)
    shift = np.array([off, 0, 0], np.float32)
    landmarks = [(p.landmarks + shift).astype(np.float32).ravel() for p in found]
    table = pd.DataFrame({"garment_id": rows.garment_id, "landmarks": landmarks})
    table.to_parquet(target / "predictions.parquet")


def record(ws: Workspace, *stages: str) -> None:
    ledger = Ledger(ws.root)
    for stage in stages:
        ledger.commit(stage, ledger.snapshot(stage))


@pytest.fixture(scope="module")
def ws(tmp_path_factory) -> Iterator[Workspace]:
    """A repository with FLD, untrained models of DFA and GLE, and a detector, all recorded."""
    ws = Workspace(tmp_path_factory.mktemp("versions"))
    root = ws.root
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=root, check=True)
    (root / "dvc.yaml").write_text(PIPELINE)
    ws.params.write_text("seed: 0\ndistributed: {device: cpu}\n")
    (root / "source.txt").write_text("source")
    (root / ".gitignore").write_text("/models/\n/data/\n/reports/\n/.mlflow/\n/raw/\n")
    raw = write_alignment_data(root / "raw", items=0, people=0, test=16)
    read_in("fld", raw / "fld", ws.alignment_catalog / "fld")
    torch.manual_seed(0)
    for folder in (ws.detector, ws.postprocess):
        folder.mkdir(parents=True)
    detector = build_detector(DETECTOR)
    with torch.no_grad():
        detector.heads["wh"].out.bias.fill_(4.0)
        detector.heads["hm"].out.bias.fill_(0.0)
    save_model(ws.detector, detector, DETECTOR)
    write_postprocess(ws.postprocess, PostProcess(flip=False))
    make_dfa(ws, {"all": 8})
    make_gle(ws.gle, GLE.model_copy(update={"padding": 1.0}))
    predict(ws, "dfa", ws.dfa("3") / "all")
    predict(ws, "gle", ws.gle)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("FASHION_OPS_ROOT", str(root))
        for key in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{key}_NAME", "somebody")
            patch.setenv(f"GIT_{key}_EMAIL", "somebody@localhost")
        patch.chdir(root)
        subprocess.run(["git", "add", "."], cwd=root, check=True)
        subprocess.run(["git", "commit", "-qm", "all"], cwd=root, check=True)
        record(ws, *STAGES)
        yield ws


def check_cards(bundle: Path, version) -> None:
    """The cards name the method, its numbers by type and landmark, and the data as counted by hand."""
    metrics = json.loads((bundle / "metrics.json").read_text())
    card = (bundle / "model_card.md").read_text()
    assert f"|this model|{metrics['NE']:.4f}|" in card and "Method: DFA" in card
    of_types = metrics["by_type"]
    assert sum(row["garments"] for row in of_types.values()) == 16
    for name, row in of_types.items():
        assert f"|{name}|{row['garments']}|{row['NE']:.4f}|" in card
    means = list(metrics["by_landmark"].values())
    assert np.mean(means) == pytest.approx(metrics["NE"])  # both weigh the eight landmarks alike
    assert "|dfa|dfa|tiny|4|" in card and "|detector|" in card  # the third stage is two networks
    data = (bundle / "data_card.md").read_text()
    assert "|train|30|" in data and "|test|16|" in data and "not at hand" in data
    assert version.description.startswith(f"garment-alignment 1, DFA: NE {metrics['NE']:.4f}")


def test_a_version_of_its_own_through_its_own_gate(ws):
    """DFA is refused, then promoted; the better of the two methods stays champion; all by numbers."""
    client = registry.connect(ws.root)
    with pytest.raises(ValueError, match="no challenger in the registry; run `fashion-ops register_al"):
        promote_alignment.run(params(), ws)
    made = register_alignment.run(params(), ws)
    assert (made["version"], made["new"]) == (1, True)
    assert register_alignment.run(params(), ws) == {"version": 1, "new": False}
    bundle = registry.fetch_bundle(f"models:/{NAME}@challenger")
    folders = {path.name for path in bundle.iterdir() if path.is_dir()}
    assert folders == {"detector", "postprocess", "dfa"}
    assert not list(bundle.glob("**/predictions.parquet"))
    version = registry.with_alias(client, NAME, "challenger")
    assert version.tags["method"] == "dfa" and version.tags["source"] == "fld"
    assert version.tags["stages"] == "dfa_stage@3 tune_postprocess"
    logged = client.get_run(str(version.run_id)).data.metrics
    assert logged["NE"] == pytest.approx(made["NE"]) and logged["garments"] == 16
    check_cards(bundle, version)

    refused = promote_alignment.run(params(max_ne=made["NE"] / 2, min_gain=0.0), ws)
    assert not refused["promoted"] and refused["champion"] == 0
    assert f"NE {made['NE']:.4f} is above promote_alignment.max_ne" in refused["reasons"]
    decisions = []
    assert promote_alignment.run(params(), ws, on_decision=decisions.append)["champion"] == 1
    rows = {f["what"]: f for f in decisions[0]["findings"]}
    assert rows["predicted again: 99 % of the landmarks, px"]["new"] < 0.01
    assert rows["NE"]["new"] == pytest.approx(made["NE"]) and rows["NE"]["garments"] == 16
    page = (ws.alignment_promotions / "promotion.html").read_text()
    assert "promoted" in page and "NE, beside the mean shape" in page

    other = register_alignment.run(params("gle"), ws)
    assert other["version"] == 2
    card = (registry.fetch_bundle(f"models:/{NAME}/2") / "model_card.md").read_text()
    assert "Method: GLE" in card and "|gle|gle|tiny|1|" in card
    better = "gle" if other["NE"] < made["NE"] else "dfa"
    answer = promote_alignment.run(params("gle", max_likely_rise=10.0), ws)
    assert answer["champion"] == (2 if better == "gle" else 1)
    decision = json.loads((ws.alignment_promotions / "promotion.json").read_text())
    row = next(f for f in decision["findings"] if f["what"] == "NE, beside the champion")
    assert row["new"] == pytest.approx(other["NE"]) and row["old"] == pytest.approx(made["NE"])
    assert row["passed"] == (better == "gle") and decision["against"] == 1
    assert {e.what for e in transitions.history(client, NAME)} == {"refusal", "promotion"}

    # The worse one again: its models and predictions are those of before, the champion's are recorded.
    worse = "dfa" if better == "gle" else "gle"
    register_alignment.run(params(worse), ws)
    again = promote_alignment.run(params(worse, max_likely_rise=10.0), ws)
    assert not again["promoted"] and "above the champion's" in again["reasons"]


def test_predictions_of_another_model_are_refused(ws):
    """What was evaluated is not what the registered model predicts: 5 pixels beside."""
    predict(ws, "gle", ws.gle, off=5.0)
    with pytest.raises(LedgerError, match="train_gle: its output is not the recorded one"):
        register_alignment.run(params("gle"), ws)
    record(ws, "train_gle")
    register_alignment.run(params("gle"), ws)
    answer = promote_alignment.run(params("gle", max_rise=10.0, max_likely_rise=10.0), ws)
    assert "predicts otherwise than evaluated: 5 px within" in answer["reasons"]
    predict(ws, "gle", ws.gle)
    record(ws, "train_gle")


def test_the_champion_is_served_and_restored(ws, tmp_path):
    """MLflow's own loader answers with FLD's landmarks; a worktree gets the models of the version."""
    catalog = AlignmentCatalog(ws.alignment_catalog / "fld")
    photo = catalog.image_bytes(int(catalog.images["image_id"].iloc[0]))
    model = mlflow.pyfunc.load_model(f"models:/{NAME}@champion", model_config={"device": "cpu"})
    answer = model.predict(pd.DataFrame({"image": [photo]}), params={"min_score": 0.1})
    garments = json.loads(answer["garments"][0])
    asked = json.loads(model.predict(pd.DataFrame({"image": [photo]}))["garments"][0])
    assert asked == [g for g in garments if g["score"] >= 0.3]  # box_detector: no score was chosen
    assert garments and {len(g["landmarks"]) for g in garments} <= {4, 6, 8}
    done = runner.invoke(app, ["history", "--model", NAME])
    assert done.exit_code == 0 and "champion: version " in done.output
    assert "champion: none" in runner.invoke(app, ["history"]).output
    restored = restore(ws.root, NAME, "1", tmp_path / "back")
    assert verify(restored) == []
    assert (restored.ws.dfa("3") / "all/easy/weights.safetensors").is_file()
    (restored.ws.dfa("1") / "all/model.json").write_text("{}")
    assert verify(restored) == ["models/dfa/1/all/model.json: differs"]
    subprocess.run(["git", "worktree", "remove", "--force", str(tmp_path / "back")], cwd=ws.root)


def test_what_is_missing_is_named(ws):
    with pytest.raises(ValueError, match=r"no garments in split 'query'; set register_align"):
        register_alignment.run(params(split="query"), ws)
    with pytest.raises(ValueError, match="30 garments have no prediction, such as garment"):
        register_alignment.run(params(split="train"), ws)
    aside = ws.root / "models" / "aside"
    shutil.move(ws.gle, aside)
    with pytest.raises(FileNotFoundError, match=r"no predictions here; `fashion-ops train_gle`"):
        register_alignment.run(params("gle"), ws)
    shutil.move(aside, ws.gle)


def test_the_bootstrap_of_errors_finds_a_real_difference_and_no_other():
    rng = np.random.default_rng(0)
    old = rng.gamma(2.0, 0.05, (200, 8))
    mask = rng.random((200, 8)) < 0.8
    options = {"resamples": 400, "confidence": 0.95, "seed": 0}
    same = compare_errors(old, old, mask, **options)
    assert (same.difference, same.low, same.high) == (0.0, 0.0, 0.0)
    better = compare_errors(old - 0.02, old, mask, **options)
    assert better.difference == pytest.approx(-0.02) and better.low == pytest.approx(-0.02)
    noise = rng.normal(0, 0.05, old.shape)
    noisy = compare_errors(old + noise, old, mask, **options)
    assert noisy.low < noisy.difference < noisy.high and noisy.low < 0 < noisy.high
    # The interval of a mean by hand: means of the columns have this standard deviation.
    gaps = np.where(mask, noise, np.nan)
    std = np.sqrt(np.nanvar(gaps, axis=0) / mask.sum(0)).mean() / np.sqrt(8)
    assert (noisy.high - noisy.low) / 2 == pytest.approx(1.96 * std, rel=0.25)
    nothing = compare_errors(old, old, np.zeros_like(mask), **options)
    assert np.isnan(nothing.new)
