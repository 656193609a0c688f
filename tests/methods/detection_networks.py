"""Tiny box detectors, their targets and features, for the detectors' tests."""

import torch
from torch import nn

from fashion_ops.methods.detection.inference import BoxDetector
from fashion_ops.methods.detection.model import Architecture, CascadeRCNN
from fashion_ops.params import TrainBoxDetector, TrainingConfig

TINY = {"backbone": "tiny", "short_side": 64, "long_side": 64, "smallest_anchor": 16, "samples": 32}
SMALL_HTC = Architecture("htc", "tiny", 64, 80, smallest_anchor=16, samples=16)
ONCE = TrainingConfig(lr=0.001, epochs=1, batch_size=2, precision="fp32")
SMALL_HTC_CONFIG = TrainBoxDetector(**vars(SMALL_HTC), **ONCE.model_dump(), score_threshold=0.01)


def tiny(kind: str) -> CascadeRCNN:
    torch.manual_seed(0)
    return CascadeRCNN(Architecture(kind, **TINY))


def target(boxes: list[list[float]], labels: list[int], side: int = 64) -> dict[str, torch.Tensor]:
    masks = torch.zeros(len(boxes), side, side, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = 1
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "masks": masks,
    }


def features(side: int = 64) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    sides = [side // s for s in (4, 8, 16, 32, 64)]
    return {
        name: torch.randn(1, 32, max(1, s), max(1, s))
        for name, s in zip([*"0123", "pool"], sides, strict=True)
    }


def box_detector() -> BoxDetector:
    """Untrained, but with opinions: sure enough of some categories to tell many boxes."""
    torch.manual_seed(0)
    model = CascadeRCNN(SMALL_HTC).eval()
    for stage in model.roi_heads.stages:
        nn.init.normal_(stage.box_predictor["category"].weight, std=0.5)
        nn.init.normal_(stage.box_predictor["box"].weight, std=0.1)
    return BoxDetector(model, {"score_threshold": 0.1, "precision": "fp32"})
