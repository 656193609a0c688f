"""The chain ``dfa_stage@1..3`` on tiny synthetic alignment data: what it reads, writes and reports."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic_alignment import read_in, write_alignment_data

from fashion_ops.catalog.alignment.reader import AlignmentCatalog
from fashion_ops.methods.alignment.crops import crop_options
from fashion_ops.methods.alignment.data import AlignmentSamples, load_split
from fashion_ops.methods.alignment.dfa.estimates import ESTIMATES, read_estimates
from fashion_ops.methods.alignment.dfa.inference import TrainedStage
from fashion_ops.methods.alignment.dfa.module import AlignmentModule
from fashion_ops.methods.alignment.dfa.routing import EASY, HARD
from fashion_ops.methods.parts.augment import step_generator
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.several_networks import Checkpoints
from fashion_ops.params import Params
from fashion_ops.steps import dfa_stage, ingest_alignment, synthesize_alignment
from fashion_ops.workspace import Workspace

PARAMS = Params.model_validate(
    {
        "synthesize_alignment": {"train": 90, "val": 30, "test": 16, "items": 0, "people": 0},
        "ingest_alignment": {"sources": ["fld"]},
        "dfa_stage": {
            "backbone": "tiny",
            "input_size": 32,
            "epochs": 10,
            "lr": 0.006,
            "batch_size": 16,
            "clusters": 4,
            "precision": "fp32",
        },
        "distributed": {"workers": 1},
    }
)


@pytest.fixture(scope="module")
def ws(tmp_path_factory) -> Workspace:
    """Synthetic FLD in its catalog."""
    ws = Workspace(tmp_path_factory.mktemp("dfa"))
    synthesize_alignment.run(PARAMS, ws)
    ingest_alignment.run(PARAMS, ws)
    return ws


@pytest.fixture(scope="module")
def metrics(ws) -> list[dict[str, float]]:
    """The metrics of the three stages, in order."""
    return [dfa_stage.run(PARAMS, ws, stage) for stage in ("1", "2", "3")]


def linked(ws: Workspace, name: str) -> Workspace:
    """Another workspace on the same catalog."""
    other = Workspace(ws.root / name)
    other.alignment_catalog.parent.mkdir(parents=True)
    other.alignment_catalog.symlink_to(ws.alignment_catalog.resolve(), target_is_directory=True)
    return other


def test_a_stage_without_the_one_before_says_what_makes_it(ws):
    with pytest.raises(FileNotFoundError, match=r"no stage 1 here; `fashion-ops dfa_stage --stage 1`"):
        dfa_stage.run(PARAMS, linked(ws, "elsewhere"), "2")


def test_the_chain_beats_the_mean_shape(metrics):
    """90 garments and ten epochs: each stage's NE below the mean shape's on 30 others."""
    assert metrics[0]["NE mean shape"] == pytest.approx(metrics[2]["NE mean shape"])
    for stage in metrics:
        assert stage["NE"] < stage["NE mean shape"], metrics
    assert 0 < metrics[2]["hard"] < 1  # epsilon null: about half of them


def test_visibility_is_scored_beside_its_trivial_answer(ws, metrics):
    """By hand from the predictions; the report prints the same numbers, and both mean shapes."""
    catalog = AlignmentCatalog(ws.alignment_catalog / "fld")
    val = load_split(catalog, "val", "all", crop_options(PARAMS.dfa_stage))
    written = read_estimates(ws.dfa("1") / "all" / ESTIMATES)["val"]
    states, truth, has = written.visibility.argmax(-1), val.rows.state, val.rows.present
    assert metrics[0]["visibility accuracy"] == pytest.approx((states == truth)[has].mean())
    assert metrics[0]["always visible"] == pytest.approx((truth == 0)[has].mean())
    cut = (truth == 2) & has
    assert cut.any() and metrics[0]["cut-off recall"] == pytest.approx((states == 2)[cut].mean())
    assert metrics[0]["NE mean shape of type"] < metrics[0]["NE mean shape"]
    report = (ws.dfa("1") / "report.md").read_text(encoding="utf-8")
    for name in ("NE", "NE mean shape", "NE mean shape of type"):
        assert f"| {metrics[0][name]:.4f} |" in report
    assert f"| {metrics[0]['visibility accuracy']:.3f} |" in report and "split val" in report


def test_augmentation_keeps_the_landmarks_in_the_crop(ws):
    """At the demo's strength at most 4 % of the observed landmarks leave it, not one in six."""
    catalog = AlignmentCatalog(ws.alignment_catalog / "fld")
    config = Params().dfa_stage

    def moved_out(config) -> float:
        split = load_split(catalog, "train", "all", crop_options(config))
        module = AlignmentModule(config, split.points.mirror, 0, previous=False)
        batch = AlignmentSamples(split.crops, split.shapes).__getitems__(list(range(len(split))))
        kept = observed = 0
        for step in range(20):
            *_, visibility = module.augment(batch, step_generator(0, step, torch.device("cpu")))
            kept += int((visibility > 0).sum())
            observed += int(split.shapes.observed.sum())
        return 1 - kept / observed

    assert moved_out(config) < 0.04
    assert moved_out(config.model_copy(update={"padding": 1.0})) > 0.1


def test_data_without_a_validation_split(ws, tmp_path):
    """LSP has train and test only: evaluated on test, 14 joints, one model."""
    raw = write_alignment_data(tmp_path / "raw", train=4, val=2, test=2, items=3, people=40)
    other = Workspace(tmp_path / "ws")
    changes = {"source": "lsp", "epochs": 1}
    params = PARAMS.model_copy(update={"dfa_stage": PARAMS.dfa_stage.model_copy(update=changes)})
    with pytest.raises(FileNotFoundError, match=r"if ingest_alignment\.sources names lsp"):
        dfa_stage.run(params, other, "1")
    read_in("lsp", raw / "lsp", other.alignment_catalog / "lsp")
    scores = dfa_stage.run(params, other, "1")
    assert scores["NE"] > 0 and scores["NE mean shape"] == scores["NE mean shape of type"]
    assert "lsp, split test" in (other.dfa("1") / "report.md").read_text(encoding="utf-8")
    read_in("in_shop", raw / "in_shop", other.alignment_catalog / "in_shop")
    changes["source"] = "in_shop"
    shop = PARAMS.model_copy(update={"dfa_stage": PARAMS.dfa_stage.model_copy(update=changes)})
    with pytest.raises(FileNotFoundError, match="fashion-ops dfa_stage --stage 1"):
        dfa_stage.run(shop, other, "2")  # stage 1 is of LSP's people
    assert dfa_stage.run(shop, other, "1")["NE"] > 0
    with pytest.raises(ValueError, match=r"estimates\.safetensors: predictions of .*the catalog has"):
        (other.alignment_catalog / "fld").symlink_to(ws.alignment_catalog.resolve() / "fld")
        dfa_stage.run(PARAMS, other, "2")  # stage 1 is of In-shop's garments


def test_what_a_stage_leaves(ws, metrics):
    for stage in ("1", "2", "3"):
        folder = ws.dfa(stage) / "all"
        assert (folder / "clusters.png").stat().st_size > 5_000
        assert len(json.loads((ws.dfa(stage) / "history.json").read_text())) >= 10
    catalog = AlignmentCatalog(ws.alignment_catalog / "fld")
    table = pd.read_parquet(ws.dfa("3") / "all" / "predictions.parquet").set_index("garment_id")
    rows = catalog.garments.set_index("garment_id")
    assert sorted(table.index) == sorted(rows.index)
    for garment, values in table["landmarks"].items():
        assert len(values) == len(rows.loc[garment, "landmarks"])


def test_the_folder_alone_predicts_what_the_step_wrote(ws, metrics):
    catalog = AlignmentCatalog(ws.alignment_catalog / "fld")
    val = load_split(catalog, "val", "all", crop_options(PARAMS.dfa_stage))
    estimate = None
    for stage in ("1", "2", "3"):
        estimate = TrainedStage.load(ws.dfa(stage) / "all", CPU).predict(val.crops, estimate)
        written = read_estimates(ws.dfa(stage) / "all" / ESTIMATES)["val"]
        np.testing.assert_allclose(estimate.positions, written.positions, atol=1e-6)
        np.testing.assert_array_equal(estimate.branch, written.branch)
    assert set(estimate.branch) == {EASY, HARD}


def test_a_model_for_each_clothing_type(ws):
    """Their own landmarks, 6, 4 and 8; predictions of all garments between them."""
    changed = PARAMS.dfa_stage.model_copy(update={"per_type": True, "epochs": 1, "frame": "box"})
    params = PARAMS.model_copy(update={"dfa_stage": changed})
    other = linked(ws, "types")
    dfa_stage.run(params, other, "1")
    counts = {"upper": 6, "lower": 4, "full": 8}
    for kind, landmarks in counts.items():
        assert TrainedStage.load(other.dfa("1") / kind, CPU).spec["landmarks"] == landmarks
    written = [len(pd.read_parquet(p)) for p in other.dfa("1").glob("*/predictions.parquet")]
    assert sum(written) == len(AlignmentCatalog(ws.alignment_catalog / "fld").garments)


@pytest.mark.parametrize("stage", ["1", "3"])
def test_a_killed_stage_goes_on_where_it_stopped(ws, metrics, monkeypatch, stage):
    """In its second epoch, or in its second network: the bits of the whole run, no epoch twice."""
    other = linked(ws, f"killed{stage}")
    if stage == "3":
        shutil.copytree(ws.dfa("2"), other.dfa("2"))
    epochs = []

    def counted(self, epoch, metrics, report=Checkpoints.report):
        report(self, epoch, metrics)
        epochs.append(epoch)
        if len(epochs) == kill_at:
            raise RuntimeError("killed")

    monkeypatch.setattr(Checkpoints, "report", counted)
    whole = len(json.loads((ws.dfa(stage) / "history.json").read_text()))
    kill_at = 2 if stage == "1" else whole - 2
    with pytest.raises(RuntimeError, match="killed"):
        dfa_stage.run(PARAMS, other, stage)
    (checkpoint,) = other.checkpoints.glob(f"dfa_stage-{stage}-*")
    assert not other.dfa(stage).exists()
    kill_at = -1
    dfa_stage.run(PARAMS, other, stage)
    assert len(epochs) == whole and not checkpoint.exists()
    for path in sorted(ws.dfa(stage).rglob("*.safetensors")):
        assert path.read_bytes() == (other.dfa(stage) / path.relative_to(ws.dfa(stage))).read_bytes()
