"""Does a bundle predict, bit for bit, what ``evaluate`` wrote of it? Not a step itself.

A model that was registered, fetched and loaded again must be the model that was judged. Networks give
the same bits only for the same batches, so whole chunks of ``predictions.CHUNK`` are compared, from the
start of the split.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.evaluation.oks_nms import suppress
from fashion_ops.inference.predictions import CHUNK, Tables, detect, landmark_tables
from fashion_ops.inference.predictor import VARIANTS, Predictor
from fashion_ops.methods.detection.sources import DetectedBoxes
from fashion_ops.params import Evaluate, Params
from fashion_ops.workspace import Workspace

KINDS = ("truth_boxes", "own_boxes")


def predict_split(
    predictor: Predictor,
    catalog: Catalog,
    images: pd.DataFrame,
    max_detections: int,
    most: int | None,
    score: str = "own",
) -> dict[str, Tables]:
    """Predictions of every row by kind of boxes, as ``evaluate`` makes them.

    Args:
        predictor: a bundle's.
        catalog: where the images are.
        images: of the split.
        max_detections: of an image and category.
        most: predictions of each kind, a multiple of ``CHUNK``; None for the whole split.
        score: ``evaluate.score``.
    """
    garments = catalog.garments[catalog.garments["image_id"].isin(images["image_id"])]
    labelled = garments.sort_values("image_id", kind="stable").iloc[:most]
    found = _found(predictor, catalog, images, max_detections, most)
    pipeline = predictor.pipeline
    return {
        "truth_boxes": landmark_tables(pipeline, catalog, labelled, "ground-truth boxes", score=score),
        "own_boxes": landmark_tables(pipeline, catalog, found, "own boxes", score=score),
    }


def _found(
    predictor: Predictor, catalog: Catalog, images: pd.DataFrame, max_detections: int, most: int | None
) -> pd.DataFrame:
    """The first garments found, from as many images as it takes."""
    source = DetectedBoxes(predictor.detector, catalog.image)
    if most is None:
        return detect(source, images, max_detections)
    tables: list[pd.DataFrame] = []
    for start in range(0, len(images), CHUNK):
        chunk = images.iloc[start : start + CHUNK]
        tables.append(detect(source, chunk, max_detections))
        if sum(map(len, tables)) >= most:
            break
    found = pd.concat(tables, ignore_index=True).sort_values("image_id", kind="stable")
    return found.iloc[:most]


def differences(
    bundle: Path, params: Params, ws: Workspace, most: int | None = CHUNK
) -> dict[str, str]:
    """Where a bundle's predictions are not those in ``ws.evaluation``; nothing means bit for bit equal.

    Args:
        bundle: a folder of models, such as ``registry.fetch_bundle`` gives.
        params: those of the evaluation.
        ws: holds the catalog that was judged and its evaluation.
        most: predictions compared of each row and kind of boxes; None for all.

    Returns:
        "truth_boxes/refined" and the like -> what differs.

    Raises:
        FileNotFoundError: there is no evaluation, or a model is missing.
    """
    predictor, catalog = Predictor.load(bundle), Catalog(ws.catalog)
    images = catalog.images[catalog.images["split"] == params.evaluate.split]
    p = params.evaluate
    made = predict_split(predictor, catalog, images, p.max_detections, most, p.score)
    found = {}
    for kind in KINDS:
        for row in VARIANTS:
            path = ws.evaluation / "predictions" / kind / f"{row}.parquet"
            if what := start_differs(pd.read_parquet(path), made[kind].get(row), p, most):
                found[f"{kind}/{row}"] = what
    return found


def start_differs(
    recorded: pd.DataFrame, made: pd.DataFrame | None, p: Evaluate, most: int | None
) -> str:
    """What of the first predictions made is not as recorded, in words; "" where no bit differs.

    Args:
        recorded: all that ``evaluate`` wrote of a row and kind of boxes.
        made: by ``predict_split``; None where it found nothing.
        p: as the evaluation was.
        most: as ``predict_split`` was told.
    """
    table = recorded.head(0) if made is None else made
    if p.oks_nms is None:
        return _difference(recorded.iloc[:most], table)
    whole = table["image_id"]
    if most is not None:  # the last image may have more garments
        whole = whole[whole != whole.max()]
    table = suppress(table[table["image_id"].isin(whole)], p.oks_nms)
    return _difference(recorded[recorded["image_id"].isin(whole)], table)


def _difference(recorded: pd.DataFrame, made: pd.DataFrame) -> str:
    """Which columns of two tables of predictions differ, in words; empty when no bit does."""
    if len(recorded) != len(made):
        return f"{len(made)} predictions, {len(recorded)} were evaluated"
    columns = [name for name in recorded.columns if _bits(recorded[name]) != _bits(made[name])]
    return f"another {', '.join(columns)}" if columns else ""


def _bits(column: pd.Series) -> list[bytes]:
    return [np.asarray(value).tobytes() for value in column.to_numpy()]
