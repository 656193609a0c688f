"""Bright quadrilaterals on noise, four corners as landmarks: something small that can be learnt."""

import cv2
import numpy as np

from fashion_ops.methods.alignment.crops import Crops, frame_of
from fashion_ops.methods.alignment.data import AlignmentData, Shapes
from fashion_ops.params import DfaStage

MIRROR = np.array([1, 0, 3, 2])
LINKS = [(np.ones(4, bool), ((0, 1), (0, 2), (1, 3)))]
PARAMS = DfaStage(
    backbone="tiny",
    input_size=32,
    epochs=6,
    clusters=6,
    batch_size=32,
    lr=6e-3,
    precision="fp32",
    visibility_weight=0.05,
    label_weight=0.2,
    padding=1.0,
    scale=0.1,
    color=0.2,
)


def quads(count: int, seed: int, size: int = 32) -> AlignmentData:
    """Crops and corners; a tenth of the corners is called occluded, those outside are cut off."""
    rng = np.random.default_rng(seed)
    images, points = [], []
    for _ in range(count):
        image = rng.integers(0, 90, (64, 64, 3)).astype(np.uint8)
        (w, h), a = rng.uniform(8, 20, 2), rng.normal(0, 0.3)
        turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        corners = np.array([[-w * 0.6, -h], [w * 0.6, -h], [-w, h], [w, h]]) @ turn.T
        corners += rng.uniform(22, 42, 2)
        color = tuple(int(v) for v in rng.integers(120, 255, 3))
        cv2.fillPoly(image, [corners[[0, 1, 3, 2]].round().astype(np.int32)], color)
        images.append(image)
        points.append(corners)
    boxes = np.tile([0.0, 0.0, 64.0, 64.0], (count, 1))
    positions = frame_of("letterbox", boxes).apply(np.array(points))
    visibility = np.where(rng.random(positions.shape[:2]) < 0.1, 1, 2)
    visibility[~(np.abs(positions) < 0.5).all(-1)] = 0
    crops = Crops(np.arange(count), boxes, lambda i: images[i], size, "letterbox")
    shapes = Shapes(positions, visibility, np.ones(visibility.shape, bool))
    return AlignmentData(crops, shapes, MIRROR)


def error(positions: np.ndarray, shapes: Shapes) -> float:
    """Mean distance of observed corners, normalised."""
    return float(np.linalg.norm(positions - shapes.positions, axis=-1)[shapes.observed].mean())


def mean_shape(train: Shapes, like: Shapes) -> np.ndarray:
    """The mean of each observed corner, for every garment."""
    weight = train.observed[..., None]
    mean = (train.positions * weight).sum(0) / weight.sum(0)
    return np.broadcast_to(mean, like.positions.shape)
