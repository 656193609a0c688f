"""Predictions on a split as tables (``schemas.PREDICTIONS``): detections, and landmarks by variant."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.schemas import PREDICTIONS
from fashion_ops.inference.landmark_pipeline import (
    VARIANTS,
    LandmarkPipeline,
    ScoredLandmarks,
    average,
)
from fashion_ops.methods.detection.sources import BoxSource, GarmentBox
from fashion_ops.progress import track

CHUNK = 64  # images or garments predicted at a time, which bounds the memory
BOX_KINDS = ("truth_boxes", "own_boxes")  # ground-truth boxes, detected boxes

Tables = dict[str, pd.DataFrame]


def detect(source: BoxSource, images: pd.DataFrame, max_detections: int) -> pd.DataFrame:
    """Detect the garments on images, as a table of predictions (``schemas.PREDICTIONS``).

    Args:
        source: gives boxes and, if it has them, landmarks; without them the column is empty arrays.
        images: rows of the catalog's images.
        max_detections: the best of each image and category that are kept.
    """
    rows = []
    ids = images["image_id"].to_list()
    for start in track(range(0, len(ids), CHUNK), "detect", -(-len(ids) // CHUNK)):
        chunk = ids[start : start + CHUNK]
        rows += detection_rows(chunk, source.boxes(chunk), max_detections)
    return predictions_table(rows)


def detection_rows(
    image_ids: Sequence[int], detections: Sequence[Sequence[GarmentBox]], max_detections: int
) -> list[tuple]:
    """Make rows of ``predictions_table`` from the best detections of each image and category.

    Args:
        image_ids: of the images.
        detections: of each image, best first.
        max_detections: kept per image and category.
    """
    rows = []
    for image_id, garments in zip(image_ids, detections, strict=True):
        kept: dict[int, int] = {}
        for d in garments:
            kept[d.category_id] = kept.get(d.category_id, 0) + 1
            if kept[d.category_id] <= max_detections:
                landmarks = np.ravel(getattr(d, "landmarks", ()))
                rows.append((image_id, -1, d.category_id, d.score, d.box, landmarks))
    return rows


def landmark_tables(
    pipeline: LandmarkPipeline,
    catalog: Catalog,
    boxes: pd.DataFrame,
    label: str,
    score: str = "own",
    ensemble: Sequence[LandmarkPipeline] = (),
    variants: Sequence[str] = VARIANTS,
) -> Tables:
    """Predict landmarks in given boxes, as tables of predictions by variant.

    Args:
        pipeline: the landmark models.
        catalog: provides the images.
        boxes: image_id, garment_id, category_id, box and, from a detector, score.
        label: name of the boxes in the progress bar.
        score: ``own`` or ``all``, see ``LandmarkPipeline.predict``.
        ensemble: further landmark models. With them there is one more variant, ``ensemble``: the mean
            of the finetuned landmarks of all models.
        variants: which of ``VARIANTS`` to predict; an ensemble needs ``finetuned``.

    Returns:
        Variant -> ``schemas.PREDICTIONS``. The score is that of the box times that of the landmarks.
    """
    boxes = boxes.sort_values("image_id", kind="stable")
    parts: dict[str, list[ScoredLandmarks]] = {}
    for start in track(range(0, len(boxes), CHUNK), f"landmarks, {label}", -(-len(boxes) // CHUNK)):
        chunk = boxes.iloc[start : start + CHUNK]
        garments = (
            catalog.image,
            chunk["image_id"].to_numpy(),
            np.stack(chunk["box"].to_list()),
            chunk["category_id"].to_numpy(np.int64),
        )
        predictions = pipeline.predict(*garments, variants, score)
        if ensemble:
            others = [p.predict(*garments, ("finetuned",), score)["finetuned"] for p in ensemble]
            predictions["ensemble"] = average([predictions["finetuned"], *others])
        for variant, part in predictions.items():
            parts.setdefault(variant, []).append(part)
    box_scores = boxes["score"].to_numpy() if "score" in boxes else np.ones(len(boxes))
    keys = ("image_id", "garment_id", "category_id", "box")
    return {
        variant: predictions_table(
            [
                (image_id, garment_id, category_id, box_score * pose_score, box, pose.ravel())
                for image_id, garment_id, category_id, box, box_score, pose_score, pose in zip(
                    *(boxes[k] for k in keys),
                    box_scores,
                    np.concatenate([p.scores for p in chunks]),
                    [pose for p in chunks for pose in p.landmarks],
                    strict=True,
                )
            ]
        )
        for variant, chunks in parts.items()
    }


def predictions_table(rows: list[tuple]) -> pd.DataFrame:
    """Make a table ``schemas.PREDICTIONS``.

    Args:
        rows: image_id, garment_id (-1 if detected), category_id, score, box (4,) and flat landmarks
            (3n,), in this order.
    """
    columns = list(zip(*rows, strict=True)) or [[]] * 6
    return PREDICTIONS.validate(
        pd.DataFrame(
            {
                "image_id": np.array(columns[0], np.int64),
                "garment_id": np.array(columns[1], np.int64),
                "category_id": np.array(columns[2], np.int8),
                "score": np.array(columns[3], np.float32),
                "box": pd.Series([np.asarray(b, np.float32) for b in columns[4]], dtype=object),
                "landmarks": pd.Series([np.asarray(p, np.float32) for p in columns[5]], dtype=object),
            }
        )
    )


def write_predictions(folder: Path, tables: dict[str, Tables]) -> None:
    """Write one parquet file per kind of boxes and variant, such as ``truth_boxes/refined.parquet``.

    Args:
        folder: existing folder, without these subfolders.
        tables: kind of boxes -> variant -> predictions.
    """
    for kind, by_variant in tables.items():
        (folder / kind).mkdir(parents=True)
        for variant, table in by_variant.items():
            table.to_parquet(folder / kind / f"{variant}.parquet", index=False)
