"""Predictions of every row on a split, as tables; not a step itself."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.schemas import PREDICTIONS
from fashion_ops.inference.predictor import VARIANTS, LandmarkPipeline, Poses, average
from fashion_ops.methods.detection.sources import BoxSource, GarmentBox
from fashion_ops.progress import track

CHUNK = 64  # images or garments at a time, which bounds the memory

Tables = dict[str, pd.DataFrame]


def detect(source: BoxSource, images: pd.DataFrame, max_detections: int) -> pd.DataFrame:
    """A source's garments on every image, as a table of predictions.

    A source of mere boxes has no landmarks: theirs are empty.
    """
    rows = []
    ids = images["image_id"].to_list()
    for start in track(range(0, len(ids), CHUNK), "detect", -(-len(ids) // CHUNK)):
        chunk = ids[start : start + CHUNK]
        rows += detection_rows(chunk, source.boxes(chunk), max_detections)
    return predictions_table(rows)


def detection_rows(
    image_ids: Sequence[int], found: Sequence[Sequence[GarmentBox]], max_detections: int
) -> list[tuple]:
    """The best of each image and category, as ``predictions_table`` takes them."""
    rows = []
    for image_id, garments in zip(image_ids, found, strict=True):
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
    what: str,
    score: str = "own",
    others: Sequence[LandmarkPipeline] = (),
    rows: tuple[str, ...] = VARIANTS,
) -> Tables:
    """Universal, finetuned and refined landmarks on given boxes, as tables of predictions.

    Args:
        cascade: the landmark models.
        catalog: where the images are.
        boxes: rows with image_id, garment_id, category_id, box and, from a detector, score.
        what: for the progress bar.
        score: whose peaks count, see ``LandmarkPipeline.judge``.
        others: further model sets; with them there is one more row, ``ensemble``, the mean of all
            sets' finetuned landmarks.
        rows: which of the three.
    """
    boxes = boxes.sort_values("image_id", kind="stable")
    parts: dict[str, list[Poses]] = {}
    for start in track(range(0, len(boxes), CHUNK), f"landmarks, {what}", -(-len(boxes) // CHUNK)):
        chunk = boxes.iloc[start : start + CHUNK]
        garments = (
            catalog.image,
            chunk["image_id"].to_numpy(),
            np.stack(chunk["box"].to_list()),
            chunk["category_id"].to_numpy(np.int64),
        )
        found = pipeline.predict(*garments, rows, score)
        if others:
            sets = [c.predict(*garments, ("finetuned",), score)["finetuned"] for c in others]
            found["ensemble"] = average([found["finetuned"], *sets])
        for row, poses in found.items():
            parts.setdefault(row, []).append(poses)
    box_scores = boxes["score"].to_numpy() if "score" in boxes else np.ones(len(boxes))
    keys = ("image_id", "garment_id", "category_id", "box")
    return {
        row: predictions_table(
            [
                (image_id, garment_id, kind, box_score * sure, box, pose.ravel())
                for image_id, garment_id, kind, box, box_score, sure, pose in zip(
                    *(boxes[k] for k in keys),
                    box_scores,
                    np.concatenate([p.scores for p in poses]),
                    [landmarks for p in poses for landmarks in p.landmarks],
                    strict=True,
                )
            ]
        )
        for row, poses in parts.items()
    }


def predictions_table(rows: list[tuple]) -> pd.DataFrame:
    """Rows (image_id, garment_id, category_id, score, box, landmarks) as ``schemas.PREDICTIONS``."""
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


def write_predictions(folder: Path, truth_boxes: Tables, own_boxes: Tables) -> None:
    """One parquet file a row and kind of boxes."""
    for kind, tables in (("truth_boxes", truth_boxes), ("own_boxes", own_boxes)):
        (folder / kind).mkdir(parents=True)
        for row, table in tables.items():
            table.to_parquet(folder / kind / f"{row}.parquet", index=False)
