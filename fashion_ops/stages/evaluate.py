"""Step ``evaluate``: judge every model on the validation split, with its boxes and with our own.

Rows: mean shape, the detector's own landmarks, universal, finetuned, refined. With ground-truth boxes the
landmarkers alone are judged; with our own, the whole system. Writes ``ws.evaluation``: metrics.json, the
tables as CSV, every prediction as parquet, the pictures and the report.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.schemas import PREDICTIONS
from fashion_ops.evaluation.clusters import errors_by_cluster
from fashion_ops.evaluation.mean_shape import fit_mean_shape, predict_mean_shape
from fashion_ops.evaluation.tables import Evaluation, evaluate_tables
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.params import Params
from fashion_ops.predictor import Cascade, Landmarks
from fashion_ops.progress import track
from fashion_ops.workspace import Workspace, publish

SURE = 0.2  # a heatmap's peak below this does not count for the score (Aggregation & Finetuning)
CHUNK = 64  # pictures or garments at a time, which bounds the memory

Tables = dict[str, pd.DataFrame]


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Judge and report.

    Returns:
        The headline numbers: landmark AP by row with ground-truth boxes and with our own, box AP.
    """
    catalog = Catalog(ws.catalog)
    split = params.evaluate.split
    images = catalog.images[catalog.images["split"] == split]
    garments = catalog.garments[catalog.garments["split"] == split]
    train = catalog.garments[catalog.garments["split"] == "train"]
    if garments.empty:
        raise ValueError(f"{ws.catalog}: no garments in split {split!r}; nothing to judge")

    shapes = fit_mean_shape(train)
    found = detect(Detector.load(ws.detector), catalog, images, params.evaluate.max_detections)
    cascade = Cascade.load(ws.detector.parent)
    truth_boxes = {"mean_shape": predict_mean_shape(shapes, garments)}
    truth_boxes |= landmark_tables(cascade, catalog, garments, "ground-truth boxes")
    own_boxes = {"mean_shape": predict_mean_shape(shapes, found), "detector": found}
    own_boxes |= landmark_tables(cascade, catalog, found, "own boxes")
    evaluation = evaluate_tables(
        images,
        garments,
        truth_boxes,
        own_boxes,
        detector=found,
        train_garments=train,
        max_detections=params.evaluate.max_detections,
    )
    labels = pd.read_parquet(ws.pseudo_labels / "labels.parquet")
    clusters = errors_by_cluster(garments, truth_boxes["refined"], labels)
    metrics = headline(evaluation)
    with publish(ws.evaluation) as folder:
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        evaluation.methods.to_csv(folder / "methods.csv", float_format="%.6f")
        evaluation.per_category.to_csv(folder / "per_category.csv", float_format="%.6f")
        clusters.to_csv(folder / "clusters.csv", index=False, float_format="%.6f")
        write_predictions(folder / "predictions", truth_boxes, own_boxes)
    return {
        **{f"AP {row}": ap for row, ap in metrics["landmark_ap"].items()},
        **{f"AP {row}, own boxes": ap for row, ap in metrics["landmark_ap_own_boxes"].items()},
        "box AP": metrics["box_ap"],
    }


def detect(
    detector: Detector, catalog: Catalog, images: pd.DataFrame, max_detections: int
) -> pd.DataFrame:
    """The detector's garments on every picture, as a table of predictions."""
    rows = []
    ids = images["image_id"].to_list()
    for start in track(range(0, len(ids), CHUNK), "detect", -(-len(ids) // CHUNK)):
        chunk = ids[start : start + CHUNK]
        for image_id, found in zip(
            chunk, detector.detect([catalog.image(i) for i in chunk]), strict=True
        ):
            kept: dict[int, int] = {}
            for d in found:
                kept[d.category_id] = kept.get(d.category_id, 0) + 1
                if kept[d.category_id] <= max_detections:
                    rows.append((image_id, -1, d.category_id, d.score, d.box, d.landmarks.ravel()))
    return predictions_table(rows)


def landmark_tables(cascade: Cascade, catalog: Catalog, boxes: pd.DataFrame, what: str) -> Tables:
    """Universal, finetuned and refined landmarks on given boxes, as tables of predictions.

    Args:
        cascade: the landmark models.
        catalog: where the pictures are.
        boxes: rows with image_id, garment_id, category_id, box and, from a detector, score.
        what: for the progress bar.
    """
    boxes = boxes.sort_values("image_id", kind="stable")
    poses: dict[str, Landmarks] = {}
    for start in track(range(0, len(boxes), CHUNK), f"landmarks, {what}", -(-len(boxes) // CHUNK)):
        chunk = boxes.iloc[start : start + CHUNK]
        found = cascade.predict(
            catalog.image,
            chunk["image_id"].to_numpy(),
            np.stack(chunk["box"].to_list()),
            chunk["category_id"].to_numpy(np.int64),
        )
        for row, landmarks in found.items():
            poses.setdefault(row, []).extend(landmarks)
    box_scores = boxes["score"].to_numpy() if "score" in boxes else np.ones(len(boxes))
    keys = ("image_id", "garment_id", "category_id", "box")
    return {
        row: predictions_table(
            [
                (image_id, garment_id, kind, score * pose_score(pose), box, pose.ravel())
                for image_id, garment_id, kind, box, score, pose in zip(
                    *(boxes[k] for k in keys), box_scores, landmarks, strict=True
                )
            ]
        )
        for row, landmarks in poses.items()
    }


def pose_score(pose: np.ndarray) -> float:
    """Mean height of the peaks above ``SURE``; 0 when there is none."""
    peaks = pose[:, 2][pose[:, 2] > SURE]
    return float(peaks.mean()) if len(peaks) else 0.0


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


def headline(evaluation: Evaluation) -> dict:
    """What ``metrics.json`` holds; AP as fractions."""
    methods, categories = evaluation.methods, evaluation.per_category
    rows = [c for c in categories.columns if c in evaluation.truth_boxes]
    return {
        "landmark_ap": methods["AP"].dropna().to_dict(),
        "landmark_ap_own_boxes": methods["own_AP"].dropna().to_dict(),
        "box_ap": evaluation.boxes.stats["AP"] if evaluation.boxes else -1.0,
        "per_category": {
            name: {
                "box_ap": row["box_AP"],
                "train": int(row["train"]),
                "validation": int(row["validation"]),
                "landmark_ap": {r: row[r] for r in rows},
            }
            for name, row in categories.iterrows()
        },
    }


def write_predictions(folder: Path, truth_boxes: Tables, own_boxes: Tables) -> None:
    """One parquet file a row and kind of boxes."""
    for kind, tables in (("truth_boxes", truth_boxes), ("own_boxes", own_boxes)):
        (folder / kind).mkdir(parents=True)
        for row, table in tables.items():
            table.to_parquet(folder / kind / f"{row}.parquet", index=False)
