"""Box AP: COCO's detection protocol (IoU .50:.05:.95, 100 boxes an image and category).

The work is faster-coco-eval's, whose numbers equal pycocotools' (``tests/evaluation``).
"""

from typing import Any

import numpy as np
import pandas as pd
from faster_coco_eval import COCO, COCOeval_faster

from fashion_ops.evaluation.coco import coco_ids
from fashion_ops.evaluation.oks import Scores
from fashion_ops.taxonomy import CATEGORIES

BOX_STATS = (
    "AP",
    "AP50",
    "AP75",
    "AP(S)",
    "AP(M)",
    "AP(L)",
    "AR1",
    "AR10",
    "AR100",
    "AR(S)",
    "AR(M)",
    "AR(L)",
)


_NOWHERE = 1e12  # pixels^2, outside of every area range: left out where it matches nothing


def score_boxes(
    images: pd.DataFrame,
    garments: pd.DataFrame,
    predictions: pd.DataFrame,
    *,
    crowd: np.ndarray | None = None,
    neutral: np.ndarray | None = None,
) -> Scores:
    """Box AP of predictions on one split; tables as in ``schemas``.

    Args:
        images: images of the split.
        garments: ground truth.
        predictions: what was found.
        crowd: bool (G,), garments that are regions to ignore (COCO's ``iscrowd``); None is none.
        neutral: bool (N,), predictions that count neither way unless they match; None is none.

    Returns:
        ``stats`` by the names in ``BOX_STATS``, AP of each category; -1 where there is no ground truth.

    Raises:
        ValueError: more than one split, or a row on an image that is not in ``images``.
    """
    dataset = {
        "images": [{"id": int(i)} for i in images["coco_id"]],
        "categories": [{"id": c.id, "name": c.name} for c in CATEGORIES],
    }
    truth = COCO({**dataset, "annotations": _records(images, garments, crowd=crowd)})
    found = COCO({**dataset, "annotations": _records(images, predictions, neutral=neutral)})
    judge = COCOeval_faster(truth, found, "bbox", print_function=lambda *_: None)
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    precision: np.ndarray = judge.eval["precision"][:, :, :, 0, -1]  # (thresholds, recalls, categories)
    per_category = {
        c.id: float(values[values > -1].mean()) if (values := precision[:, :, k]).max() > -1 else -1.0
        for k, c in enumerate(CATEGORIES)
    }
    stats = np.asarray(judge.stats, float)[: len(BOX_STATS)]
    return Scores(dict(zip(BOX_STATS, stats.tolist(), strict=True)), per_category)


def _records(
    images: pd.DataFrame,
    rows: pd.DataFrame,
    *,
    crowd: np.ndarray | None = None,
    neutral: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """COCO annotations (or results, where the table has scores) with boxes only."""
    nobody = np.zeros(len(rows), bool)
    scores = rows["score"].tolist() if "score" in rows else [1.0] * len(rows)
    return [
        {
            "id": number,
            "image_id": image,
            "category_id": category_id,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": _NOWHERE if is_neutral else (x2 - x1) * (y2 - y1),
            "iscrowd": int(is_crowd),
            "score": score,
        }
        for number, (image, category_id, (x1, y1, x2, y2), score, is_crowd, is_neutral) in enumerate(
            zip(
                coco_ids(images, rows).tolist(),
                rows["category_id"].tolist(),
                (np.asarray(box, float).tolist() for box in rows["box"]),
                scores,
                nobody if crowd is None else crowd,
                nobody if neutral is None else neutral,
                strict=True,
            ),
            start=1,
        )
    ]
