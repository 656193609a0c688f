"""Step ``train_box_detector``, and how far ``evaluate.boxes`` reaches."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from clone import clone_into
from untrained_models import make_catalog, make_models, tiny_params

from fashion_ops.catalog.reader import Catalog
from fashion_ops.evaluation.boxes import score_boxes
from fashion_ops.inference.box_sources import open_boxes
from fashion_ops.inference.predictions import detect
from fashion_ops.inference.predictor import Predictor
from fashion_ops.ledger import Ledger
from fashion_ops.methods.detection.inference import BoxDetector
from fashion_ops.methods.detection.sources import DetectedBoxes
from fashion_ops.methods.parts.device import CPU
from fashion_ops.params import BOX_DETECTOR, DETECTOR, Params
from fashion_ops.steps import evaluate, register, train_box_detector
from fashion_ops.workspace import Workspace


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """All models; the box detector is trained by its step."""
    ws = Workspace(tmp_path_factory.mktemp("boxes"))
    make_catalog(params(ws), ws)
    make_models(params(ws), ws)
    shutil.rmtree(ws.box_detector)
    train_box_detector.run(params(ws), ws)
    return ws


def params(ws: Workspace, **sections: dict) -> Params:
    return tiny_params(ws, **sections)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def judged_images(ws: Workspace) -> pd.DataFrame:
    images = Catalog(ws.catalog).images
    return images[images["split"] == "validation"]


def other(ws: Workspace, tmp_path: Path, *own: str) -> Workspace:
    """A workspace with the same catalog and models, but for those that a test makes itself."""
    there = Workspace(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "data").symlink_to(ws.catalog.parent)
    for path in ws.detector.parent.iterdir():
        if path.name not in own:
            (tmp_path / "models" / path.name).symlink_to(path)
    return there


def test_nothing_is_trained_unless_it_is_asked_for(ws: Workspace, tmp_path: Path) -> None:
    there = other(ws, tmp_path, "box_detector")
    none = params(ws, train_box_detector={"kind": None})
    assert train_box_detector.run(none, there) == {"images": 0}
    first = contents(there.box_detector)
    assert list(first) == ["model.json"]
    train_box_detector.run(none, there)
    assert contents(there.box_detector) == first
    with pytest.raises(ValueError, match=r"box_detector: no network here, .*kind was null; set it to"):
        evaluate.run(params(ws, evaluate={"boxes": BOX_DETECTOR}), there)
    assert type(Predictor.load(there.detector.parent, CPU).detector).__name__ == "Detector"


def test_the_step_trains_the_kind_that_is_asked_for(ws: Workspace, tmp_path: Path) -> None:
    """HTC, which needs the catalog's polygons; with several scales and the flip test."""
    there = other(ws, tmp_path, "box_detector")
    asked = params(
        ws,
        train_box_detector={"kind": "htc", "test_short_sides": [64, 96], "flip_test": True},
    )
    metrics = train_box_detector.run(asked, there)
    assert (metrics["images"], metrics["epochs"]) == (26, 1)
    assert {"mask1", "mask3", "semantic", "box3"} <= set(metrics)
    assert not list(there.checkpoints.glob("*.ckpt"))
    detector = BoxDetector.load(there.box_detector, CPU)
    assert detector.model.architecture.kind == "htc"
    assert (detector.scales, detector.flip) == ((1.0, 1.5), True)


def test_the_same_inputs_give_the_same_bytes(ws: Workspace, tmp_path: Path) -> None:
    there = other(ws, tmp_path, "box_detector")
    train_box_detector.run(params(ws), there)
    assert contents(there.box_detector) == contents(ws.box_detector)


@pytest.fixture(scope="module")
def judged(ws: Workspace) -> dict:
    """``metrics.json`` of the system with the box detector's boxes."""
    evaluate.run(params(ws, evaluate={"boxes": BOX_DETECTOR}), ws)
    return json.loads((ws.evaluation / "metrics.json").read_text())


def found_by(ws: Workspace) -> pd.DataFrame:
    detector = BoxDetector.load(ws.box_detector, CPU)
    return detect(DetectedBoxes(detector, Catalog(ws.catalog).image), judged_images(ws), 2)


def test_evaluation_judges_the_box_detectors_boxes(ws: Workspace, judged: dict) -> None:
    catalog, found = Catalog(ws.catalog), found_by(ws)
    garments = catalog.garments[catalog.garments["split"] == "validation"]
    assert judged["box_ap"] == score_boxes(judged_images(ws), garments, found).stats["AP"]
    told = pd.read_parquet(ws.evaluation / "predictions/own_boxes/refined.parquet")
    assert len(told) == len(found) > 16
    keys = ["image_id", "category_id"]
    assert told[keys].value_counts().equals(found[keys].value_counts())
    centernet = pd.read_parquet(ws.evaluation / "predictions/own_boxes/detector.parquet")
    assert not centernet[keys].value_counts().equals(found[keys].value_counts())
    report = (ws.evaluation / "report.html").read_text()
    assert "box detector" in report


def test_boxes_from_a_file_are_judged_as_those_of_who_wrote_it(
    ws: Workspace, judged: dict, tmp_path: Path
) -> None:
    there = other(ws, tmp_path)
    ids = judged_images(ws).set_index("image_id")["coco_id"]
    records = [
        {
            "image_id": int(ids[row["image_id"]]),
            "category_id": int(row["category_id"]),
            "bbox": [*row["box"][:2].tolist(), *(row["box"][2:] - row["box"][:2]).tolist()],
            "score": float(row["score"]),
        }
        for _, row in found_by(ws).iterrows()
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(records))
    asked = params(ws, evaluate={"boxes": "boxes.json"})
    evaluate.run(asked, there)
    again = json.loads((there.evaluation / "metrics.json").read_text())
    assert again["box_ap"] == pytest.approx(judged["box_ap"], abs=1e-6)
    with pytest.raises(ValueError, match=r"evaluate\.boxes is 'boxes\.json': .*evaluated with them"):
        register.run(asked, there)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"image_id": 999}, r"boxes\.json: result 0: image_id 999 is not among the 16 images"),
        ({"category_id": 14}, r"boxes\.json: result 0: category_id is 14, must be 1 to 13"),
        ({"bbox": [5, 5, 0, 9]}, r"boxes\.json: result 0: the box .* is empty"),
        ({"bbox": [500, 5, 9, 9]}, r"boxes\.json: result 0: .* lies outside of its image, 96 x 96"),
    ],
)
def test_bad_results_stop_the_evaluation_and_are_named(
    ws: Workspace, tmp_path: Path, record: dict, message: str
) -> None:
    good = {"image_id": 1, "category_id": 1, "bbox": [5, 5, 9, 9], "score": 0.5}
    (tmp_path / "boxes.json").write_text(json.dumps([good | record]))
    there = other(ws, tmp_path)
    with pytest.raises(ValueError, match=message):
        evaluate.run(params(ws, evaluate={"boxes": "boxes.json"}), there)
    assert not there.evaluation.exists()


def test_a_mistyped_source_is_named(ws: Workspace) -> None:
    with pytest.raises(
        ValueError, match=r"'centernet': neither models/detector nor models/box_detector, and there"
    ):
        open_boxes("centernet", ws, Catalog(ws.catalog), judged_images(ws), CPU)


def test_predictions_of_a_folder_are_those_of_its_box_detector(ws: Workspace) -> None:
    predictor = Predictor.load(ws.detector.parent, CPU)
    photo = Catalog(ws.catalog).image(int(judged_images(ws)["image_id"].iloc[0]))
    (boxes,) = BoxDetector.load(ws.box_detector, CPU).detect([photo])
    garments = predictor.predict(photo, min_score=0.0, variant="universal")
    assert [g.box for g in garments] == [tuple(b.box.tolist()) for b in boxes] and garments


@pytest.mark.parametrize("boxes", [DETECTOR, BOX_DETECTOR])
def test_a_registered_bundle_carries_the_boxes_it_was_judged_with(
    ws: Workspace, judged: dict, tmp_path: Path, boxes: str
) -> None:
    for name in ("params.yaml", "dvc.lock"):
        (ws.root / name).write_text("")
    register.copy_models(params(ws, evaluate={"boxes": boxes}), ws, tmp_path / "bundle")
    assert (tmp_path / "bundle/box_detector").is_dir() == (boxes == BOX_DETECTOR)
    detector = Predictor.load(tmp_path / "bundle", CPU).detector
    assert isinstance(detector, BoxDetector) == (boxes == BOX_DETECTOR)


def test_the_ledger_knows_the_step() -> None:
    root = Path(__file__).parents[2]
    assert ("train_box_detector", "evaluate") in Ledger(root).graph_edges()


def test_a_results_file_is_an_input_of_evaluate_by_its_content(tmp_path: Path) -> None:
    clone = clone_into(tmp_path / "fashion-ops")
    written = clone.params
    written["evaluate"]["boxes"] = "boxes.json"
    clone.set_params(written)
    (clone.root / "boxes.json").write_text("[]")
    ledger = Ledger(clone.root)
    first = ledger.input_md5("evaluate", "boxes.json")
    (clone.root / "boxes.json").write_text("[{}]")
    assert ledger.input_md5("evaluate", "boxes.json") != first
