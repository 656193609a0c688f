"""Box AP by COCO's detection protocol (IoU .50:.05:.95, 100 boxes per image and category).

Computed by faster-coco-eval, whose numbers equal those of pycocotools (``tests/evaluation``).
"""

from typing import Any

import numpy as np
import pandas as pd
from faster_coco_eval import COCO, COCOeval_faster

from fashion_ops.evaluation.coco import coco_ids
from fashion_ops.evaluation.oks import Scores
from fashion_ops.taxonomy import CATEGORIES

BOX_STATS = (
    *("AP", "AP50", "AP75", "AP(S)", "AP(M)", "AP(L)"),
    *("AR1", "AR10", "AR100", "AR(S)", "AR(M)", "AR(L)"),
)
_NO_AREA_RANGE = 1e12  # pixels^2; a detection of this area is ignored where it matches nothing


def score_boxes(
    images: pd.DataFrame,
    garments: pd.DataFrame,
    predictions: pd.DataFrame,
    *,
    crowd: np.ndarray | None = None,
    neutral: np.ndarray | None = None,
) -> Scores:
    """Compute the box AP of predictions on one split.

    Args:
        images: ``schemas.IMAGES`` of the split.
        garments: ``schemas.GARMENTS``, the ground truth (G rows).
        predictions: ``schemas.PREDICTIONS`` (N rows); landmarks are not read.
        crowd: bool (G,), garments that are regions to ignore (COCO's ``iscrowd``); None for none.
        neutral: bool (N,), predictions that count neither way unless they match; None for none.

    Returns:
        ``stats`` by the names in ``BOX_STATS`` and the AP of each category; -1 without ground truth.

    Raises:
        ValueError: more than one split, or a row on an image that is not in ``images``.
    """
    dataset = {
        "images": [{"id": int(i)} for i in images["coco_id"]],
        "categories": [{"id": c.id, "name": c.name} for c in CATEGORIES],
    }
    truth = COCO({**dataset, "annotations": _records(images, garments, crowd=crowd)})
    detections = COCO({**dataset, "annotations": _records(images, predictions, neutral=neutral)})
    evaluator = COCOeval_faster(truth, detections, "bbox", print_function=lambda *_: None)
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    precision: np.ndarray = evaluator.eval["precision"][
        :, :, :, 0, -1
    ]  # (thresholds, recalls, categories)
    per_category = {
        c.id: float(values[values > -1].mean()) if (values := precision[:, :, k]).max() > -1 else -1.0
        for k, c in enumerate(CATEGORIES)
    }
    stats = np.asarray(evaluator.stats, float)[: len(BOX_STATS)]
    return Scores(dict(zip(BOX_STATS, stats.tolist(), strict=True)), per_category)


def _records(
    images: pd.DataFrame,
    rows: pd.DataFrame,
    *,
    crowd: np.ndarray | None = None,
    neutral: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """COCO annotations (or results, where the table has scores) with boxes only."""
    none = np.zeros(len(rows), bool)
    scores = rows["score"].tolist() if "score" in rows else [1.0] * len(rows)
    return [
        {
            "id": number,
            "image_id": image,
            "category_id": category_id,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": _NO_AREA_RANGE if is_neutral else (x2 - x1) * (y2 - y1),
            "iscrowd": int(is_crowd),
            "score": score,
        }
        for number, (image, category_id, (x1, y1, x2, y2), score, is_crowd, is_neutral) in enumerate(
            zip(
                coco_ids(images, rows).tolist(),
                rows["category_id"].tolist(),
                (np.asarray(box, float).tolist() for box in rows["box"]),
                scores,
                none if crowd is None else crowd,
                none if neutral is None else neutral,
                strict=True,
            ),
            start=1,
        )
    ]
