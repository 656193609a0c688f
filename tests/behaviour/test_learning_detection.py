"""Do Cascade R-CNN and HTC learn? A few small images of the wardrobe, from scratch, on one core."""

import numpy as np
import pandas as pd
import pytest
import torch

from fashion_ops.catalog.reader import Catalog
from fashion_ops.evaluation.boxes import score_boxes
from fashion_ops.methods.detection.inference import BoxDetector
from fashion_ops.methods.detection.sources import DetectedBoxes
from fashion_ops.methods.detection.training import detector_spec, train_box_detector, untrained_model
from fashion_ops.methods.parts.device import CPU
from fashion_ops.params import Params, TrainBoxDetector
from fashion_ops.steps import ingest, synthesize
from fashion_ops.workspace import Workspace

SIDE = 64
WARDROBE = {"train": 8, "validation": 0, "size": SIDE, "imbalance": 0.0}
CONFIG = {
    "backbone": "small", "short_side": SIDE, "long_side": SIDE, "smallest_anchor": 16, "samples": 32,
    "flip": 0.0, "lr": 0.002, "epochs": 20, "batch_size": 4, "precision": "fp32",
}  # fmt: skip


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Catalog:
    ws = Workspace(tmp_path_factory.mktemp("detection"))
    params = Params.model_validate({"synthesize": WARDROBE})
    synthesize.run(params, ws)
    ingest.run(params, ws)
    return Catalog(ws.catalog)


def box_ap50(detector: BoxDetector, catalog: Catalog) -> float:
    ids = catalog.images["image_id"].tolist()
    found = DetectedBoxes(detector, catalog.image).boxes(ids)
    rows = [(i, d.category_id, d.score, d.box) for i, own in zip(ids, found, strict=True) for d in own]
    predictions = pd.DataFrame(rows, columns=["image_id", "category_id", "score", "box"])
    return score_boxes(catalog.images, catalog.garments, predictions).stats["AP50"]


@pytest.mark.parametrize("kind", ["cascade_rcnn", "htc"])
def test_the_detector_learns_its_images(kind, catalog, tmp_path):
    """Box AP50 on the eight images at least 0.6 after 40 steps; before, below 0.05."""
    torch.manual_seed(0)
    config = TrainBoxDetector(kind=kind, **CONFIG)
    model = untrained_model(config)
    untrained = box_ap50(BoxDetector(model.eval(), detector_spec(config)), catalog)
    ids = catalog.images["image_id"].to_numpy(np.int64)
    train_box_detector(config, model, ids, catalog.garments, catalog.image, tmp_path, seed=0)
    trained = box_ap50(BoxDetector.load(tmp_path, CPU), catalog)
    assert untrained < 0.05
    assert trained > 0.6
