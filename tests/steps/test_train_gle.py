"""The step ``train_gle``, and both methods that start on FLD from models of DeepFashion."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from synthetic_alignment import read_in, write_alignment_data
from untrained_alignment import DFA, GLE

from fashion_ops.catalog.alignment.reader import AlignmentCatalog
from fashion_ops.methods.alignment.gle import training
from fashion_ops.methods.alignment.gle.inference import GLEPredictor
from fashion_ops.methods.artifact import read_spec
from fashion_ops.methods.parts.device import CPU
from fashion_ops.params import Params
from fashion_ops.steps import dfa_stage, train_gle
from fashion_ops.taxonomy.alignment import points_of_type
from fashion_ops.workspace import Workspace

PARAMS = Params.model_validate(
    {
        "train_gle": GLE.model_dump(),
        "dfa_stage": DFA.model_dump(),
        "distributed": {"device": "cpu"},
    }
)


def with_section(name: str, **changes) -> Params:
    section = getattr(PARAMS, name).model_copy(update=changes)
    return PARAMS.model_copy(update={name: section})


@pytest.fixture(scope="module")
def ws(tmp_path_factory) -> Workspace:
    """FLD and Category & Attribute in their catalogs; GLE trained on FLD."""
    ws = Workspace(tmp_path_factory.mktemp("gle"))
    raw = write_alignment_data(ws.root / "raw", items=0, people=6)
    for source in ("fld", "category_attribute", "lsp"):
        read_in(source, raw / source, ws.alignment_catalog / source)
    return ws


@pytest.fixture(scope="module")
def metrics(ws) -> dict[str, float]:
    return train_gle.run(PARAMS, ws)


def linked(ws: Workspace, name: str) -> Workspace:
    """Another workspace on the same catalogs."""
    other = Workspace(ws.root / name)
    other.alignment_catalog.parent.mkdir(parents=True)
    other.alignment_catalog.symlink_to(ws.alignment_catalog.resolve(), target_is_directory=True)
    return other


def test_what_the_step_leaves(ws, metrics):
    """The folder alone predicts what stands in its table; the report has the metrics of the run."""
    catalog = AlignmentCatalog(ws.alignment_catalog / "fld")
    table = pd.read_parquet(ws.gle / "predictions.parquet").set_index("garment_id")
    others = catalog.garments[catalog.garments["split"] != "train"]
    assert set(table.index) == set(others["garment_id"]) and len(table) == 10
    val = catalog.points("val")
    found = GLEPredictor.load(ws.gle, CPU).predict(catalog.image, val.image_id, val.box)
    off = []
    for garment, kind, row in zip(val.garment_id, val.clothes_type, range(len(val)), strict=True):
        slots = points_of_type(int(kind)).slots
        np.testing.assert_allclose(
            table.loc[garment, "landmarks"], found[row, slots].ravel(), rtol=1e-4, atol=1e-3
        )
        side = (val.box[row, 2:] - val.box[row, :2]).max()
        gaps = np.linalg.norm(found[row, :, :2] - val.xy[row], axis=-1) / side
        off.append(np.where(val.visibility[row] == 2, gaps, np.nan))
    assert metrics["NE"] == pytest.approx(np.nanmean(np.nanmean(off, axis=0)), rel=1e-4)
    report = (ws.gle / "report.md").read_text(encoding="utf-8")
    assert "# GLE" in report and f"| {metrics['NE']:.4f} |" in report and "fld, split val" in report
    assert "visibility" not in report  # which GLE does not predict
    assert len(json.loads((ws.gle / "history.json").read_text())) == GLE.epochs
    assert "start" not in read_spec(ws.gle, "gle")


def test_a_killed_training_goes_on_where_it_stopped(ws, metrics, monkeypatch):
    """Killed after the first of two epochs, before the modules join: the bits of the whole run."""
    other, fit = linked(ws, "killed"), training.fit

    def until_killed(module, dataset, options):
        def killed(epoch, losses):
            raise RuntimeError("killed")

        return fit(module, dataset, replace(options, on_epoch=killed))

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(training, "fit", until_killed)
        train_gle.run(PARAMS, other)
    (checkpoint,) = other.checkpoints.glob("train_gle-*")
    assert not other.gle.exists()
    train_gle.run(PARAMS, other)
    assert not checkpoint.exists()
    for name in ("weights.safetensors", "predictions.parquet", "model.json"):
        assert (other.gle / name).read_bytes() == (ws.gle / name).read_bytes()


def test_gle_from_deepfashion_to_fld(ws, metrics, caplog):
    """Its modules take part from the start; a line says what was taken; model.json names no path."""
    other = linked(ws, "shop")
    train_gle.run(with_section("train_gle", source="category_attribute"), other)
    shutil.move(other.gle, other.root / "deepfashion")
    params = with_section("train_gle", start_from="deepfashion", epochs=1)
    started = train_gle.run(params, other)
    assert started["tensors_fresh"] == 1.0  # joined
    assert "tensors are those of deepfashion; 1 start afresh: joined" in caplog.text
    spec = read_spec(other.gle, "gle")
    assert spec["start"]["fresh"] == ["joined"] and "deepfashion" not in json.dumps(spec)
    assert bool(GLEPredictor.load(other.gle, CPU).model.joined)
    with pytest.raises(ValueError, match="method is 'dfa', expected 'gle'"):
        (other.root / "deepfashion/model.json").write_text('{"method": "dfa"}')
        train_gle.run(params, other)
    with pytest.raises(FileNotFoundError, match=r"train_gle\.start_from: .*vgg\.pth is no file"):
        train_gle.run(with_section("train_gle", start_from="vgg.pth"), other)


def test_dfa_from_deepfashion_to_fld(ws, caplog):
    """Stage 2 starts from the other cascade's stage 2, not from stage 1; clusters are FLD's."""
    other = linked(ws, "cascade")
    shop = with_section("dfa_stage", source="category_attribute")
    for stage in ("1", "2"):
        dfa_stage.run(shop, other, stage)
    shutil.move(other.dfa("1").parent, other.root / "deepfashion")
    params = with_section("dfa_stage", start_from="deepfashion", lr=1e-9)
    for stage in ("1", "2"):
        started = dfa_stage.run(params, other, stage)
        assert started["tensors_fresh"] == 2.0 and started["tensors_taken"] > 10
        assert f"dfa_stage {stage}, all: dfa_stage.start_from: " in caplog.text
        spec = read_spec(other.dfa(stage) / "all", "dfa")
        assert spec["start"][0]["fresh"] == ["labels.bias", "labels.weight"]
        assert "deepfashion" not in json.dumps(spec)
        ours, theirs = (
            load_file(folder / stage / "all" / "weights.safetensors")["positions.weight"]
            for folder in (other.dfa("1").parent, other.root / "deepfashion")
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    with pytest.raises(FileNotFoundError, match=r"dfa_stage\.start_from: .*nowhere: no such folder"):
        dfa_stage.run(with_section("dfa_stage", start_from="nowhere"), other, "1")


def test_people_have_no_garments(ws):
    with pytest.raises(ValueError, match=r"lsp: has people, no garments .* another train_gle\.source"):
        train_gle.run(with_section("train_gle", source="lsp"), ws)
    with pytest.raises(FileNotFoundError, match=r"if ingest_alignment\.sources names in_shop"):
        train_gle.run(with_section("train_gle", source="in_shop"), ws)
