"""How far predictions that were made twice, such as on a CPU and on a GPU, are apart.

Garments are paired by image, category and box. A landmark's position is that of a maximum of a heatmap.
Where two maxima are nearly equal, rounding decides between places that may be far apart. So ``pixels``
leaves out one landmark in a hundred, and AP tells what those are worth; ``largest`` is only shown.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.evaluation.overlaps import overlaps

SHARE = 0.99  # of the landmarks, that ``pixels`` covers
SAME_GARMENT = 0.5  # least IoU of two boxes of the same garment


@dataclass(frozen=True)
class Deviation:
    """The difference between recorded predictions and those made again.

    Attributes:
        bits: what differs in words; empty if no bit does.
        pixels: distance that 99 of 100 landmarks have at most moved, in pixels of the image.
        largest: the largest distance.
        score: largest difference of a garment's score; a garment without its like counts with its own.
        ap: difference of landmark AP, a fraction.
    """

    bits: str = ""
    pixels: float = 0.0
    largest: float = 0.0
    score: float = 0.0
    ap: float = 0.0

    def __str__(self) -> str:
        return (
            f"99 % of the landmarks within {self.pixels:.3g} px, the largest difference "
            f"{self.largest:.3g} px, score {self.score:.3g}, AP {self.ap:.3g}"
        )


NO_DEVIATION = Deviation()


def deviation(
    recorded: pd.DataFrame,
    made: pd.DataFrame,
    images: pd.DataFrame,
    garments: pd.DataFrame,
    max_detections: int,
) -> Deviation:
    """Measure how far two tables of predictions on the same images are apart.

    Args:
        recorded: ``schemas.PREDICTIONS``.
        made: likewise.
        images: rows of the catalog's images, at least those of the predictions, of one split.
        garments: the labels of these images.
        max_detections: best predictions that AP counts per image and category.
    """
    bits = bit_difference(recorded, made)
    if not bits:
        return NO_DEVIATION
    distances, scores = _differences(recorded, made)
    truth = ground_truth(images, garments)
    old, new = (
        score_landmarks(truth, detections(t, images), max_detections=max_detections).stats["AP"]
        for t in (recorded, made)
    )
    return Deviation(
        bits,
        float(np.quantile(distances, SHARE)) if len(distances) else 0.0,
        float(distances.max(initial=0)),
        float(scores.max(initial=0)),
        abs(new - old),
    )


def largest(by_table: Iterable[Deviation]) -> Deviation:
    """The largest of each number of several deviations, and all that differs."""
    every = list(by_table)
    numbers = [f.name for f in fields(Deviation) if f.name != "bits"]
    bits = ", ".join(filter(None, (d.bits for d in every)))
    return Deviation(bits, **{n: max((getattr(d, n) for d in every), default=0.0) for n in numbers})


def bit_difference(recorded: pd.DataFrame, made: pd.DataFrame) -> str:
    """Say in words how two tables of predictions differ; "" when no bit does."""
    if len(recorded) != len(made):
        return f"{len(made)} predictions, {len(recorded)} were evaluated"
    columns = [name for name in recorded.columns if _bits(recorded[name]) != _bits(made[name])]
    return f"another {', '.join(columns)}" if columns else ""


def _bits(column: pd.Series) -> list[bytes]:
    """Convert each value of a column, a number or an array, to its bytes."""
    return [np.asarray(value).tobytes() for value in column.to_numpy()]


def _differences(recorded: pd.DataFrame, made: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Distances of all landmarks of paired garments in pixels, and differences of all scores."""
    keys = ["image_id", "category_id", "garment_id"]
    old = dict(iter(recorded.groupby(keys)))
    new = dict(iter(made.groupby(keys)))
    none = recorded.head(0)
    distances, scores = [np.zeros(0)], [np.zeros(0)]
    for key in old.keys() | new.keys():
        a, b = old.get(key, none), new.get(key, none)
        boxes = (np.array(t["box"].to_list(), float).reshape(-1, 4) for t in (a, b))
        overlap = overlaps(*boxes)
        pairs = np.array(linear_sum_assignment(-overlap))
        first, second = pairs[:, overlap[pairs[0], pairs[1]] >= SAME_GARMENT]
        for i, k in zip(first, second, strict=True):
            points = [np.reshape(t["landmarks"].iloc[n], (-1, 3)) for t, n in ((a, i), (b, k))]
            distances.append(np.hypot(*(points[0] - points[1])[:, :2].T))
        values = a["score"].to_numpy(float), b["score"].to_numpy(float)
        scores.append(np.abs(values[0][first] - values[1][second]))
        scores += [np.delete(v, paired) for v, paired in zip(values, (first, second), strict=True)]
    return np.concatenate(distances), np.concatenate(scores)
