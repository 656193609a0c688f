"""Check that a bundle predicts, bit for bit, what ``evaluate`` wrote.

A model that was registered, fetched and loaded again must be the model that was evaluated. Networks
give the same bits only for the same batches, so the comparison covers whole chunks of
``predictions.CHUNK`` from the start of the split.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.errors.reading import read_table
from fashion_ops.evaluation.oks_nms import oks_nms
from fashion_ops.inference.landmark_pipeline import VARIANTS
from fashion_ops.inference.predictions import BOX_KINDS, CHUNK, Tables, detect, landmark_tables
from fashion_ops.inference.predictor import Predictor
from fashion_ops.methods.detection.sources import DetectedBoxes
from fashion_ops.methods.parts.device import select_device
from fashion_ops.params import Evaluate, Params
from fashion_ops.workspace import Workspace


def predict_split(
    predictor: Predictor,
    catalog: Catalog,
    images: pd.DataFrame,
    max_detections: int,
    limit: int | None,
    score: str = "own",
) -> dict[str, Tables]:
    """Predict a split, or its start, as ``evaluate`` does before OKS-NMS.

    Args:
        predictor: a loaded bundle.
        catalog: provides the images.
        images: ``schemas.IMAGES`` of the split.
        max_detections: detections kept per image and category.
        limit: number of predictions per kind of boxes, a multiple of ``CHUNK``; None for all.
        score: ``evaluate.score``.

    Returns:
        Kind of boxes (``truth_boxes``, ``own_boxes``) -> variant -> ``schemas.PREDICTIONS``.
    """
    garments = catalog.garments[catalog.garments["image_id"].isin(images["image_id"])]
    labelled = garments.sort_values("image_id", kind="stable").iloc[:limit]
    detected = _detect_first(predictor, catalog, images, max_detections, limit)
    pipeline = predictor.pipeline
    return {
        "truth_boxes": landmark_tables(pipeline, catalog, labelled, "ground-truth boxes", score=score),
        "own_boxes": landmark_tables(pipeline, catalog, detected, "own boxes", score=score),
    }


def _detect_first(
    predictor: Predictor, catalog: Catalog, images: pd.DataFrame, max_detections: int, limit: int | None
) -> pd.DataFrame:
    """Detect on one chunk of images after another until there are ``limit`` detections; None: on all.

    Returns:
        ``schemas.PREDICTIONS``; with a limit its first rows in the order of image ids.
    """
    source = DetectedBoxes(predictor.detector, catalog.image)
    if limit is None:
        return detect(source, images, max_detections)
    tables: list[pd.DataFrame] = []
    for start in range(0, len(images), CHUNK):
        tables.append(detect(source, images.iloc[start : start + CHUNK], max_detections))
        if sum(map(len, tables)) >= limit:
            break
    detected = pd.concat(tables, ignore_index=True).sort_values("image_id", kind="stable")
    return detected.iloc[:limit]


def differences(
    bundle: Path, params: Params, ws: Workspace, limit: int | None = CHUNK
) -> dict[str, str]:
    """Compare the predictions of a bundle with those in ``ws.evaluation``.

    Args:
        bundle: a folder of models, such as ``registry.client.fetch_bundle`` returns.
        params: parameters of the evaluation.
        ws: workspace with the evaluated catalog and its evaluation.
        limit: predictions compared per variant and kind of boxes; None for all.

    Returns:
        "truth_boxes/refined" and the like -> what differs; empty when no bit differs.

    Raises:
        FileNotFoundError: there is no evaluation, or a model is missing.
    """
    device = select_device(params.distributed.device)
    predictor, catalog = Predictor.load(bundle, device), Catalog(ws.catalog)
    images = catalog.images[catalog.images["split"] == params.evaluate.split]
    p = params.evaluate
    made = predict_split(predictor, catalog, images, p.max_detections, limit, p.score)
    different = {}
    for kind in BOX_KINDS:
        for variant in VARIANTS:
            path = ws.evaluation / "predictions" / kind / f"{variant}.parquet"
            recorded = read_table(path)
            if difference := compare_start(recorded, made[kind].get(variant), p, limit):
                different[f"{kind}/{variant}"] = difference
    return different


def compare_start(
    recorded: pd.DataFrame, made: pd.DataFrame | None, p: Evaluate, limit: int | None
) -> str:
    """Compare the first predictions with recorded ones.

    Args:
        recorded: all predictions that ``evaluate`` wrote for a variant and kind of boxes.
        made: the predictions of ``predict_split``; None where there were no boxes.
        p: the parameters of the evaluation.
        limit: as given to ``predict_split``; with OKS-NMS the last image is left out, as it may have
            more garments.

    Returns:
        What differs, in words; "" when no bit differs.
    """
    table = recorded.head(0) if made is None else made
    if p.oks_nms is None:
        return _difference(recorded.iloc[:limit], table)
    complete = table["image_id"]
    if limit is not None:  # the last image may have more garments
        complete = complete[complete != complete.max()]
    table = oks_nms(table[table["image_id"].isin(complete)], p.oks_nms)
    return _difference(recorded[recorded["image_id"].isin(complete)], table)


def _difference(recorded: pd.DataFrame, made: pd.DataFrame) -> str:
    """Say in words how two tables of predictions differ; "" when no bit does."""
    if len(recorded) != len(made):
        return f"{len(made)} predictions, {len(recorded)} were evaluated"
    columns = [name for name in recorded.columns if _bits(recorded[name]) != _bits(made[name])]
    return f"another {', '.join(columns)}" if columns else ""


def _bits(column: pd.Series) -> list[bytes]:
    """Convert each value of a column, a number or an array, to its bytes."""
    return [np.asarray(value).tobytes() for value in column.to_numpy()]
