"""Predictions on a split as tables (``schemas.PREDICTIONS``): detections, and landmarks by variant.

A split is predicted in blocks of ``CHUNK`` images or garments, in this process or on other machines
(``methods.parts.blocks``), with the same bits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from fashion_ops.methods.detection.sources import BoxSource, GarmentBox, GarmentDetector
from fashion_ops.methods.parts.blocks import BlockRunner, EncodedImages, chunks
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


@dataclass(frozen=True)
class DetectBlock:
    """Images to detect garments on.

    Attributes:
        images: the encoded images, in order.
        max_detections: the best of each image and category that are kept.
    """

    images: EncodedImages
    max_detections: int

    def predict(self, models: Mapping[str, GarmentDetector]) -> dict[str, list[tuple]]:
        """Detect with each detector: rows of ``predictions_table`` by its name."""
        ids = list(self.images.data)
        pixels = [self.images(i) for i in ids]
        return {
            name: detection_rows(ids, detector.detect(pixels), self.max_detections)
            for name, detector in models.items()
        }


@dataclass(frozen=True)
class LandmarkBlock:
    """Garments to predict landmarks for; the fields are arguments of ``LandmarkPipeline.predict``."""

    images: EncodedImages
    image_ids: np.ndarray
    boxes: np.ndarray
    category_ids: np.ndarray
    variants: tuple[str, ...]
    score: str
    detected: bool

    def predict(self, models: Sequence[LandmarkPipeline]) -> dict[str, ScoredLandmarks]:
        """Predict landmarks by variant.

        Args:
            models: the first gives the variants. With further ones there is one more variant,
                ``ensemble``: the mean of the finetuned landmarks of all.
        """
        garments = self.images, self.image_ids, self.boxes, self.category_ids
        pipeline, *ensemble = models
        predictions = pipeline.predict(*garments, self.variants, self.score, detected=self.detected)
        if ensemble:
            others = [
                p.predict(*garments, ("finetuned",), self.score, detected=self.detected)["finetuned"]
                for p in ensemble
            ]
            predictions["ensemble"] = average([predictions["finetuned"], *others])
        return predictions


def detect_with(
    runner: BlockRunner, catalog: Catalog, images: pd.DataFrame, max_detections: int
) -> Tables:
    """Detect the garments on images with the detectors of a runner.

    Args:
        runner: its models are ``GarmentDetector`` by name.
        catalog: provides the images.
        images: rows of the catalog's images.
        max_detections: the best of each image and category that are kept.

    Returns:
        Name of the detector -> ``schemas.PREDICTIONS``, in the order of ``images``.
    """
    blocks = (
        (f"images {n}", DetectBlock(EncodedImages.of(catalog, rows["image_id"]), max_detections))
        for n, rows in enumerate(chunks(images, CHUNK))
    )
    total = -(-len(images) // CHUNK)
    results = runner.run(blocks, "detect", total)
    in_order = [results[f"images {n}"] for n in range(total)]
    names = in_order[0] if in_order else {}
    return {
        name: predictions_table([row for result in in_order for row in result[name]]) for name in names
    }


def landmarks_with(
    runner: BlockRunner,
    catalog: Catalog,
    boxes: Mapping[str, pd.DataFrame],
    score: str = "own",
    variants: Sequence[str] = VARIANTS,
) -> dict[str, Tables]:
    """Predict landmarks in given boxes of several kinds with the landmark models of a runner.

    Args:
        runner: its models are those that ``LandmarkBlock.predict`` takes.
        catalog: provides the images.
        boxes: by kind, such as ``truth_boxes``: image_id, garment_id, category_id, box and, from a
            detector, score.
        score: ``own`` or ``all``, see ``LandmarkPipeline.predict``.
        variants: which of ``VARIANTS`` to predict; an ensemble needs ``finetuned``.

    Returns:
        Kind of boxes -> variant -> ``schemas.PREDICTIONS``, in the order of image ids; no variants
        where there are no boxes. The score is that of the box times that of the landmarks.
    """
    ordered = {kind: table.sort_values("image_id", kind="stable") for kind, table in boxes.items()}
    blocks = (
        (
            f"{kind} {n}",
            LandmarkBlock(
                EncodedImages.of(catalog, rows["image_id"]),
                rows["image_id"].to_numpy(),
                np.stack(rows["box"].to_list()),
                rows["category_id"].to_numpy(np.int64),
                tuple(variants),
                score,
                "score" in table,
            ),
        )
        for kind, table in ordered.items()
        for n, rows in enumerate(chunks(table, CHUNK))
    )
    counts = {kind: -(-len(table) // CHUNK) for kind, table in ordered.items()}
    label = "landmarks, " + " and ".join(kind.replace("_", " ") for kind in boxes)
    results = runner.run(blocks, label, sum(counts.values()))
    return {
        kind: _landmark_tables(table, [results[f"{kind} {n}"] for n in range(counts[kind])])
        for kind, table in ordered.items()
    }


def _landmark_tables(boxes: pd.DataFrame, results: list[dict[str, ScoredLandmarks]]) -> Tables:
    """Join the landmarks of all blocks of ``boxes``, in order, to a table by variant."""
    box_scores = boxes["score"].to_numpy() if "score" in boxes else np.ones(len(boxes))
    tables = {}
    for variant in results[0] if results else ():
        of_variant = [result[variant] for result in results]
        scores = box_scores * np.concatenate([found.scores for found in of_variant])
        poses = [pose.ravel() for found in of_variant for pose in found.landmarks]
        deviations = [each for found in of_variant for each in found.deviations]
        ids = (boxes[key] for key in ("image_id", "garment_id", "category_id"))
        tables[variant] = predictions_table(
            list(zip(*ids, scores, boxes["box"], poses, deviations, strict=True))
        )
    return tables


def predictions_table(rows: list[tuple]) -> pd.DataFrame:
    """Make a table ``schemas.PREDICTIONS``.

    Args:
        rows: image_id, garment_id (-1 if detected), category_id, score, box (4,), flat landmarks (3n,)
            and, where there is a shape prior, deviations (n,), in this order.
    """
    columns = list(zip(*rows, strict=True)) or [[]] * 6
    deviations = columns[6] if len(columns) > 6 else [()] * len(rows)
    return PREDICTIONS.validate(
        pd.DataFrame(
            {
                "image_id": np.array(columns[0], np.int64),
                "garment_id": np.array(columns[1], np.int64),
                "category_id": np.array(columns[2], np.int8),
                "score": np.array(columns[3], np.float32),
                "box": pd.Series([np.asarray(b, np.float32) for b in columns[4]], dtype=object),
                "landmarks": pd.Series([np.asarray(p, np.float32) for p in columns[5]], dtype=object),
                "deviations": pd.Series([np.asarray(d, np.float32) for d in deviations], dtype=object),
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
