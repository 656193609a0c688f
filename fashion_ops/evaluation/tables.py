"""The tables of an evaluation: scores of each method, and of each category by method."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fashion_ops.evaluation.boxes import score_boxes
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import MAX_DETECTIONS, Scores, score_landmarks
from fashion_ops.taxonomy import CATEGORIES

METHOD_STATS = ("AP", "AP50", "AP75", "AR")
METHODS = (
    "mean_shape",
    "detector",
    "universal",
    "finetuned",
    "refined",
)  # order of the rows; others follow


@dataclass(frozen=True)
class Evaluation:
    """Scores as fractions; -1 where there is no ground truth.

    Attributes:
        methods: one row per method (index: its name) with AP, AP50, AP75 and AR on ground-truth boxes,
            and ``own_AP`` on detected boxes; NaN where a method was not run on these boxes.
        per_category: one row per category (index: its name) with the number of train and validation
            garments, box_AP, and the AP of each method on ground-truth boxes.
        truth_boxes: scores of each method on ground-truth boxes.
        own_boxes: scores of each method on detected boxes.
        boxes: box AP of the detector; None where no detector was evaluated.
    """

    methods: pd.DataFrame
    per_category: pd.DataFrame
    truth_boxes: dict[str, Scores]
    own_boxes: dict[str, Scores]
    boxes: Scores | None

    @property
    def untrained(self) -> list[str]:
        """Names of categories without a training garment; they count in the mean like any other."""
        return self._without("train")

    @property
    def without_ground_truth(self) -> list[str]:
        """Names of categories without a garment in the evaluated split; the means leave them out."""
        return self._without("validation")

    def _without(self, column: str) -> list[str]:
        counts = self.per_category[column]
        return (
            [] if counts.sum() == 0 else counts.index[counts == 0].tolist()
        )  # a sum of 0: nothing was counted


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
    """Score all methods on one split.

    Args:
        images: ``schemas.IMAGES`` of the split.
        garments: ``schemas.GARMENTS`` of the split.
        truth_boxes: method -> ``schemas.PREDICTIONS`` on ground-truth boxes and categories.
        own_boxes: method -> ``schemas.PREDICTIONS`` on detected boxes. A method may be in only one of
            the two. The rows follow ``METHODS``, then the order of the dicts.
        detector: ``schemas.PREDICTIONS`` whose boxes are scored by box AP; None for no box AP.
        train_garments: ``schemas.GARMENTS`` of the train split, which are counted.
        max_detections: best predictions counted per image and category; 20 is official.

    Raises:
        ValueError: more than one split, or a prediction on an image of another split.
    """
    truth = ground_truth(images, garments)

    def score(tables: dict[str, pd.DataFrame]) -> dict[str, Scores]:
        return {
            name: score_landmarks(truth, detections(table, images), max_detections=max_detections)
            for name, table in tables.items()
        }

    by_truth, by_own = score(truth_boxes), score(own_boxes)
    given = dict.fromkeys((*by_truth, *by_own))
    names = [*(m for m in METHODS if m in given), *(m for m in given if m not in METHODS)]
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
    """Number of garments of each category."""
    ids = np.asarray(garments["category_id"], int)
    return np.bincount(ids, minlength=len(CATEGORIES) + 1)[1:].tolist()
