"""All numbers of one evaluation: methods by boxes, categories by methods."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fashion_ops.evaluation.boxes import score_boxes
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import MAX_DETECTIONS, Scores, score_landmarks
from fashion_ops.taxonomy import CATEGORIES

METHOD_STATS = ("AP", "AP50", "AP75", "AR")
METHODS = ("mean_shape", "detector", "universal", "finetuned", "refined")  # order of rows, others after


@dataclass(frozen=True)
class Evaluation:
    """What was measured; fractions, -1 where there is no ground truth.

    ``methods``: one row a method (index: its name); AP, AP50, AP75, AR with ground-truth boxes, and
    ``own_AP`` with the detector's boxes; NaN where a method was not run that way.
    ``per_category``: one row a category (index: its name); train, validation (garments), box_AP, and
    AP with ground-truth boxes by method.
    ``truth_boxes``, ``own_boxes``: the scores of each method; ``boxes``: box AP of the detector.
    """

    methods: pd.DataFrame
    per_category: pd.DataFrame
    truth_boxes: dict[str, Scores]
    own_boxes: dict[str, Scores]
    boxes: Scores | None

    @property
    def untrained(self) -> list[str]:
        """Categories without a training garment, by name; they count in the mean like any other."""
        return self._without("train")

    @property
    def unjudged(self) -> list[str]:
        """Categories without a garment on the split judged, by name; no mean knows of them."""
        return self._without("validation")

    def _without(self, column: str) -> list[str]:
        counts = self.per_category[column]
        return [] if counts.sum() == 0 else counts.index[counts == 0].tolist()  # 0: not counted at all


def evaluate_tables(
    images: pd.DataFrame,
    garments: pd.DataFrame,
    truth_boxes: dict[str, pd.DataFrame],
    own_boxes: dict[str, pd.DataFrame],
    *,
    detector: pd.DataFrame | None = None,
    train_garments: pd.DataFrame | None = None,
    max_detections: int = MAX_DETECTIONS,
) -> Evaluation:
    """Score every method on one split.

    Args:
        images: ``schemas.IMAGES`` of the split.
        garments: ``schemas.GARMENTS`` of the split.
        truth_boxes: method -> ``schemas.PREDICTIONS`` made with ground-truth boxes and categories.
        own_boxes: method -> ``schemas.PREDICTIONS`` on the detector's boxes. A method may be in one
            of the two only. Rows stand in the order of ``METHODS``, then in that of mention.
        detector: the boxes to judge by box AP (its landmarks are not looked at).
        train_garments: for the count of training garments.
        max_detections: best predictions counted per image and category; 20 is official.

    Raises:
        ValueError: more than one split, or a prediction on an image of another.
    """
    truth = ground_truth(images, garments)

    def judge(tables: dict[str, pd.DataFrame]) -> dict[str, Scores]:
        return {
            name: score_landmarks(truth, detections(table, images), max_detections=max_detections)
            for name, table in tables.items()
        }

    by_truth, by_own = judge(truth_boxes), judge(own_boxes)
    mentioned = dict.fromkeys((*by_truth, *by_own))
    names = [*(m for m in METHODS if m in mentioned), *(m for m in mentioned if m not in METHODS)]
    boxes = None if detector is None else score_boxes(images, garments, detector)
    nan = float("nan")
    methods = pd.DataFrame.from_dict(
        {
            name: {s: by_truth[name].stats[s] if name in by_truth else nan for s in METHOD_STATS}
            | {"own_AP": by_own[name].stats["AP"] if name in by_own else nan}
            for name in names
        },
        orient="index",
        columns=[*METHOD_STATS, "own_AP"],
    )
    train = garments.head(0) if train_garments is None else train_garments
    per_category = pd.DataFrame(
        {
            "train": _counts(train),
            "validation": _counts(garments),
            "box_AP": [nan if boxes is None else boxes.per_category[c.id] for c in CATEGORIES],
            **{
                name: [by_truth[name].per_category[c.id] for c in CATEGORIES]
                for name in names
                if name in by_truth
            },
        },
        index=pd.Index([c.name for c in CATEGORIES], name="category"),
    )
    return Evaluation(methods.rename_axis("method"), per_category, by_truth, by_own, boxes)


def _counts(garments: pd.DataFrame) -> list[int]:
    """Garments of each category."""
    return np.bincount(np.asarray(garments["category_id"], int), minlength=len(CATEGORIES) + 1)[
        1:
    ].tolist()
