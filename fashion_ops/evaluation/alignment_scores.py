"""NE, PDL and PCP of predictions against an alignment catalog, as tables that say what was counted.

Predictions are joined by garment_id; every garment of the split must have one. Types of clothing are
judged together in FLD's 8 slots, or one alone.
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
class Wanted:
    """Which garments and points are judged, and how. ``pixels``: of PDL, in a 224-px frame."""

    metric: Metric
    split: str = "test"
    clothes_type: str | None = None  # None: upper, lower and full together
    subset: str | None = None  # a name in ``catalog.alignment.reader.SUBSETS``
    frame: normalized.FrameName = "letterbox"
    pixels: float = 15.0
    labels: str = "observer-centric"  # PCP: by whose left and right the catalog's joints are named


def score_catalog(folder: Path, predictions: Path, wanted: Wanted) -> dict[str, Any]:
    """Judge a parquet file of predictions (``catalog.alignment.schemas.PREDICTIONS``).

    Returns:
        metric, what it counts (``convention``), garments, and one row a point set with the value of
        each landmark, macro and micro; PDL also the curve over 5..50 px. PCP: strict and loose.

    Raises:
        ValueError: no such catalog, split or subset; a garment without prediction.
    """
    if not (folder / "garments.parquet").is_file():
        raise ValueError(f"{folder}: not an alignment catalog, it has no garments.parquet")
    catalog = AlignmentCatalog(folder)
    points = catalog.points(wanted.split, "person" if wanted.metric == "pcp" else wanted.clothes_type)
    if wanted.subset is not None:
        try:
            points = points.take(points.subset(wanted.subset))
        except KeyError as error:
            raise ValueError(str(error.args[0])) from error
    if not len(points):
        splits = ", ".join(sorted(set(catalog.garments["split"])))
        raise ValueError(f"{folder}: no such garments in split {wanted.split}; splits: {splits}")
    found = predicted_points(predictions, points)
    head = {"metric": wanted.metric, "split": wanted.split, "garments": len(points)}
    if wanted.subset:
        head["subset"] = wanted.subset
    if wanted.metric == "pcp":
        return head | {"rows": [_pcp(found, points, strict, wanted.labels) for strict in (True, False)]}
    errors = normalized.errors(found, points.xy, points.box, wanted.frame)
    names = point_set(wanted.clothes_type or "fld8").point_names
    rows = [_row(errors, points, choice, names, wanted) for choice in ("visible", "observed")]
    return head | {"frame": normalized.FRAME_TEXTS[wanted.frame], "rows": rows}


def predicted_points(path: Path, points: AlignmentLandmarks) -> np.ndarray:
    """Predicted landmarks (N, n, 2) of these garments, in their order.

    A row holds the landmarks of the garment's own type, or all of the 8 slots.

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
        own = points_of_type(int(kind))
        values = np.asarray(by_id[garment_id], np.float64)
        count = len(values) // 3
        if len(values) % 3 or count not in (own.num_points, width):
            raise ValueError(
                f"{path}: garment {garment_id} has {len(values)} numbers; expected "
                f"{3 * own.num_points}: x, y, score of each landmark of its type"
            )
        mixed = width == NUM_SLOTS and count == own.num_points
        out[i, own.slots if mixed else slice(None)] = values.reshape(-1, 3)[:, :2]
    return out


def _row(
    errors: np.ndarray,
    points: AlignmentLandmarks,
    choice: normalized.PointChoice,
    names: tuple[str, ...],
    wanted: Wanted,
) -> dict[str, Any]:
    mask = normalized.counted(points.visibility, choice)
    row: dict[str, Any] = {"points": normalized.POINT_TEXTS[choice], "count": int(mask.sum())}
    if wanted.metric == "ne":
        score = normalized.ne(errors, mask)
    else:
        score = normalized.pdl(errors, mask, wanted.pixels)
        row["pixels"] = wanted.pixels
        row["curve"] = {
            str(px): one.macro
            for px, one in zip(normalized.THRESHOLDS, normalized.pdl_curve(errors, mask), strict=True)
        }
    each = {n: float(v) for n, v in zip(names, score.per_point, strict=True) if np.isfinite(v)}
    return row | {"macro": score.macro, "micro": score.micro, "per_landmark": each}


def _pcp(found: np.ndarray, points: AlignmentLandmarks, strict: bool, labels: str) -> dict[str, Any]:
    result = pcp(found, points.xy, strict=strict, labels=labels)
    return {"convention": result.convention, "mean": result.mean, **result.groups}


def as_text(scores: dict[str, Any]) -> str:
    """A few lines to read: what was counted, then a number a line."""
    where = f"{scores['split']}, {scores['garments']} garments" + (
        f", {scores['subset']}" if "subset" in scores else ""
    )
    lines = [f"{scores['metric'].upper()} on {where}"]
    if "frame" in scores:
        lines.append(f"frame: {scores['frame']}")
    for row in scores["rows"]:
        if "convention" in row:
            lines.append(row["convention"])
            numbers = {k: v for k, v in row.items() if k != "convention"}
        else:
            more = f", within {row['pixels']:g} of 224 px" if "pixels" in row else ""
            lines.append(f"points: {row['points']} ({row['count']}){more}")
            numbers = row["per_landmark"] | {"macro": row["macro"], "micro": row["micro"]}
            numbers |= {f"macro at {px} px": v for px, v in row.get("curve", {}).items()}
        lines += [f"  {name:22} {value:8.4f}" for name, value in numbers.items()]
    return "\n".join(lines)
