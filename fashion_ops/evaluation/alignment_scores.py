"""NE, PDL and PCP of predictions on an alignment catalog, with the convention of each number.

Predictions are joined by garment_id; every garment of the split must have one. Types of clothing are
scored together in the 8 slots of FLD, or one type alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks
from fashion_ops.evaluation import normalized_error as normalized
from fashion_ops.evaluation.pcp import pcp
from fashion_ops.taxonomy.alignment import NUM_SLOTS, point_set, points_of_type

Metric = Literal["ne", "pdl", "pcp"]


@dataclass(frozen=True)
class ScoreOptions:
    """Which metric to compute, and on which garments and points.

    Attributes:
        metric: ``ne``, ``pdl`` or ``pcp``.
        split: garments of this split.
        clothes_type: upper, lower or full; None for all of them together.
        subset: a name in ``catalog.alignment.reader.SUBSETS``; None for all garments.
        frame: the frame whose side lengths are divided by.
        pixels: threshold of PDL, in a 224-pixel frame.
        labels: PCP: whose left and right name the joints of the catalog.
    """

    metric: Metric
    split: str = "test"
    clothes_type: str | None = None
    subset: str | None = None
    frame: normalized.FrameName = "letterbox"
    pixels: float = 15.0
    labels: str = "observer-centric"


def score_catalog(folder: Path, predictions: Path, options: ScoreOptions) -> dict[str, Any]:
    """Score a parquet file of predictions (``catalog.alignment.schemas.PREDICTIONS``).

    Returns:
        metric, split, number of garments, and rows. NE and PDL have one row per set of points with its
        name, count, macro, micro and the value of each landmark, PDL also the curve over 5..50 px; PCP
        has a strict and a loose row.

    Raises:
        ValueError: no such catalog, split or subset; a garment without a prediction.
    """
    if not (folder / "garments.parquet").is_file():
        raise ValueError(f"{folder}: not an alignment catalog, it has no garments.parquet")
    catalog = AlignmentCatalog(folder)
    points = catalog.points(
        options.split, "person" if options.metric == "pcp" else options.clothes_type
    )
    if options.subset is not None:
        try:
            points = points.take(points.subset(options.subset))
        except KeyError as error:
            raise ValueError(str(error.args[0])) from error
    if not len(points):
        splits = ", ".join(sorted(set(catalog.garments["split"])))
        raise ValueError(f"{folder}: no such garments in split {options.split}; splits: {splits}")
    predicted = predicted_points(predictions, points)
    scores = {"metric": options.metric, "split": options.split, "garments": len(points)}
    if options.subset:
        scores["subset"] = options.subset
    if options.metric == "pcp":
        results = [pcp(predicted, points.xy, strict=s, labels=options.labels) for s in (True, False)]
        rows = [{"convention": r.convention, "mean": r.mean, **r.groups} for r in results]
        return scores | {"rows": rows}
    errors = normalized.errors(predicted, points.xy, points.box, options.frame)
    names = point_set(options.clothes_type or "fld8").point_names
    rows = [_row(errors, points, choice, names, options) for choice in ("visible", "observed")]
    return scores | {"frame": normalized.FRAME_TEXTS[options.frame], "rows": rows}


def predicted_points(path: Path, points: AlignmentLandmarks) -> np.ndarray:
    """Read the predicted landmarks (N, n, 2) of N garments, in their order.

    A row of the file holds the landmarks of the garment's type, or all of the 8 slots.

    Raises:
        ValueError: the file can't be read, or a garment has no row or one of another length.
    """
    try:
        table = pd.read_parquet(path, columns=["garment_id", "landmarks"])
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: cannot be read as predictions: {error}") from error
    by_id = dict(zip(table["garment_id"], table["landmarks"], strict=True))
    missing = [int(i) for i in points.garment_id if i not in by_id]
    if missing:
        raise ValueError(
            f"{path}: {len(missing)} of {len(points)} garments have no prediction, "
            f"the first is garment {missing[0]}"
        )
    width = int(points.xy.shape[1])
    out = np.zeros((len(points), width, 2))
    for i, (garment_id, kind) in enumerate(zip(points.garment_id, points.clothes_type, strict=True)):
        of_type = points_of_type(int(kind))
        values = np.asarray(by_id[garment_id], np.float64)
        count = len(values) // 3
        if len(values) % 3 or count not in (of_type.num_points, width):
            raise ValueError(
                f"{path}: garment {garment_id} has {len(values)} numbers; expected "
                f"{3 * of_type.num_points}: x, y, score of each landmark of its type"
            )
        spread = width == NUM_SLOTS and count == of_type.num_points
        out[i, of_type.slots if spread else slice(None)] = values.reshape(-1, 3)[:, :2]
    return out


def _row(
    errors: np.ndarray,
    points: AlignmentLandmarks,
    choice: normalized.PointChoice,
    names: tuple[str, ...],
    options: ScoreOptions,
) -> dict[str, Any]:
    """NE or PDL over the visible or the observed points."""
    mask = normalized.counted(points.visibility, choice)
    row: dict[str, Any] = {"points": normalized.POINT_TEXTS[choice], "count": int(mask.sum())}
    if options.metric == "ne":
        score = normalized.ne(errors, mask)
    else:
        score = normalized.pdl(errors, mask, options.pixels)
        row["pixels"] = options.pixels
        curve = normalized.pdl_curve(errors, mask)
        row["curve"] = {str(px): s.macro for px, s in zip(normalized.THRESHOLDS, curve, strict=True)}
    each = {n: float(v) for n, v in zip(names, score.per_point, strict=True) if np.isfinite(v)}
    return row | {"macro": score.macro, "micro": score.micro, "per_landmark": each}
