"""Do Cascade R-CNN and HTC learn? A few small pictures of the wardrobe, from scratch, on one core."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fashion_ops.evaluation.boxes import score_boxes
from fashion_ops.methods.detection.inference import BoxDetector
from fashion_ops.methods.detection.model import Architecture, CascadeRCNN
from fashion_ops.methods.detection.training import detector_spec, train_detector
from fashion_ops.params import Fit

sys.path.insert(0, str(Path(__file__).parents[1] / "methods"))
from detection_wardrobe import Wardrobe

PICTURES = 8
SIDE = 64
RUN = Fit(lr=0.002, epochs=30, batch_size=4, precision="fp32")


def box_ap50(detector: BoxDetector, wardrobe: Wardrobe) -> float:
    ids = wardrobe.images["image_id"].tolist()
    found = detector.detect([wardrobe.read(i) for i in ids])
    rows = [(i, d.category_id, d.score, d.box) for i, own in zip(ids, found, strict=True) for d in own]
    predictions = pd.DataFrame(rows, columns=["image_id", "category_id", "score", "box"])
    return score_boxes(wardrobe.images, wardrobe.garments, predictions).stats["AP50"]


@pytest.mark.parametrize("kind", ["cascade_rcnn", "htc"])
def test_the_detector_learns_its_pictures(kind, tmp_path):
    """Box AP50 over its categories at least 0.5 after 60 steps; before, below 0.05."""
    wardrobe = Wardrobe(PICTURES, SIDE)
    torch.manual_seed(0)
    architecture = Architecture(kind, "small", SIDE, SIDE, smallest_anchor=16, samples=32)
    model = CascadeRCNN(architecture)
    spec = detector_spec(architecture, RUN, 0.05, {})
    untrained = box_ap50(BoxDetector(model.eval(), spec), wardrobe)
    ids = np.arange(PICTURES)
    train_detector(tmp_path, model, spec, RUN, ids, wardrobe.garments, wardrobe.read, flip=0.0, seed=0)
    trained = box_ap50(BoxDetector.load(tmp_path), wardrobe)
    assert untrained < 0.05
    assert trained > 0.5
