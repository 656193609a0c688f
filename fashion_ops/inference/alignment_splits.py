"""What the steps that train on an alignment catalog share: its splits, their scores and predictions."""

from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks
from fashion_ops.catalog.alignment.schemas import PREDICTIONS
from fashion_ops.evaluation.mean_shape import mean_points, mean_points_by_kind
from fashion_ops.evaluation.normalized_error import counted, errors, ne
from fashion_ops.methods.alignment.crops import FrameName, enlarge, frame_of
from fashion_ops.methods.alignment.data import splits_of
from fashion_ops.workspace import Workspace

TRAIN = "train"


def open_catalog(ws: Workspace, source: str, setting: str) -> AlignmentCatalog:
    """Open the catalog of a source that has garments to train on and others to evaluate.

    Args:
        ws: the workspace.
        source: of the catalog.
        setting: name of the parameter that names the source, for messages.

    Raises:
        FileNotFoundError: the catalog does not exist yet.
        ValueError: it has no training split, or no other one.
    """
    folder = ws.alignment_catalog / source
    if not (folder / "garments.parquet").is_file():
        raise FileNotFoundError(
            f"{folder}: no catalog here; `fashion-ops ingest_alignment` makes one if "
            f"ingest_alignment.sources names {source}"
        )
    catalog = AlignmentCatalog(folder)
    names = splits_of(catalog)
    if TRAIN not in names or len(names) < 2:
        raise ValueError(
            f"{folder}: has the splits {', '.join(names) or 'none'}; needs train and another one; "
            f"choose another {setting}"
        )
    return catalog


def evaluated_split(catalog: AlignmentCatalog) -> str:
    """The split that a training is evaluated on: the first one that it is not trained on."""
    return next(name for name in splits_of(catalog) if name != TRAIN)


def score_positions(
    train: AlignmentLandmarks,
    evaluated: AlignmentLandmarks,
    xy: np.ndarray,
    frame: FrameName = "letterbox",
    padding: float = 1.0,
) -> dict[str, float]:
    """Score predicted landmarks beside what needs no network.

    Args:
        train: the training garments, for the mean shapes.
        evaluated: M garments.
        xy: their predicted landmarks (M, n, 2), pixels of the images.
        frame: in which the shapes are averaged and distances are divided.
        padding: of the box in which the shapes are averaged.

    Returns:
        ``NE``, the normalised error over visible landmarks, ``NE mean shape`` and ``NE mean shape of
        type``.
    """
    back = frame_of(frame, enlarge(evaluated.box, padding))
    shapes = frame_of(frame, enlarge(train.box, padding)).apply(train.xy)
    shape = mean_points(shapes, train.observed)
    of_type = mean_points_by_kind(shapes, train.observed, train.clothes_type, evaluated.clothes_type)
    named = {
        "NE": xy,
        "NE mean shape": back.invert(np.tile(shape, (len(evaluated), 1, 1))),
        "NE mean shape of type": back.invert(of_type),
    }
    mask = counted(evaluated.visibility, "visible")
    return {
        name: ne(errors(points, evaluated.xy, evaluated.box, frame), mask).macro
        for name, points in named.items()
    }


def write_predictions(path: Path, splits: dict[str, tuple[AlignmentLandmarks, np.ndarray]]) -> None:
    """Write predicted landmarks as ``schemas.PREDICTIONS`` of the alignment catalog.

    Args:
        path: the parquet file.
        splits: the garments of each split and their landmarks (M, n, 3), x, y in pixels of the images
            and a score.
    """
    parts = []
    for rows, landmarks in splits.values():
        values = landmarks.astype(np.float32)
        kept = [v[present].ravel() for v, present in zip(values, rows.present, strict=True)]
        parts.append(pd.DataFrame({"garment_id": rows.garment_id, "landmarks": kept}))
    table = PREDICTIONS.validate(pd.concat(parts, ignore_index=True))
    table.to_parquet(path, compression="zstd")
