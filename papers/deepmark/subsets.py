"""AP on a part of the garments: the small ones, the heavily occluded ones, the visible landmarks only.

DeepFashion2 reports AP by scale, occlusion, zoom-in and viewpoint (Ge et al., CVPR 2019; DeepMark++
Table 5), but not how garments of the other levels are treated. Here they count neither way:

- They are COCO's crowd regions, so a detection that matches one counts neither way, as in pycocotools.
- A detection without a match that lies on one of them (box IoU at least .5, and more than with any
  garment of the subset) counts neither way either. Under COCO's rule alone it would turn into a false
  positive as the threshold rises, and false positives of other levels would dominate a small subset.

With all garments inside, both scores are the ordinary ones. "Visible only" takes occluded landmarks
(visibility 1) as not labelled; a garment without any visible one is then ignored by the official rule.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from fashion_ops.evaluation.boxes import score_boxes
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.instances import GroundTruth
from fashion_ops.evaluation.oks import MAX_DETECTIONS, Scores, score_landmarks

ATTRIBUTES: dict[str, tuple[str, str, str]] = {
    "scale": ("small", "moderate", "large"),
    "occlusion": ("slight", "medium", "heavy"),
    "zoom_in": ("no", "medium", "large"),
    "viewpoint": ("no wear", "frontal", "side or back"),
}
"""Columns of the catalog's garments and what their values 1, 2, 3 mean; 0 is unknown."""
_MIN_IOU = 0.5  # box IoU from which a detection lies on a garment: the protocol's lowest threshold


def score_subset_landmarks(
    images: pd.DataFrame,
    garments: pd.DataFrame,
    predictions: pd.DataFrame,
    inside: np.ndarray,
    *,
    visible_only: bool = False,
    max_detections: int = MAX_DETECTIONS,
) -> Scores:
    """Landmark AP on some garments of one split; the others count neither way.

    Args:
        images: ``schemas.IMAGES`` of the split.
        garments: ``schemas.GARMENTS`` of the split.
        predictions: ``schemas.PREDICTIONS`` on these images.
        inside: bool (G,), the garments that count.
        visible_only: count landmarks of visibility 2 only.
        max_detections: best predictions counted per image and category.

    Raises:
        ValueError: more than one split, or a row on an image that is not in ``images``.
    """
    truth = ground_truth(images, garments)
    if visible_only:
        truth = _only_visible(truth)
    truth = replace(truth, crowd=~inside, ignored=truth.ignored | ~inside)
    found = detections(predictions, images)
    # COCO's rule: a detection with an area outside of every range is ignored where it matches nothing.
    area = np.where(lies_outside(garments, predictions, inside), np.inf, found.area)
    return score_landmarks(truth, replace(found, area=area), max_detections=max_detections)


def score_subset_boxes(
    images: pd.DataFrame, garments: pd.DataFrame, predictions: pd.DataFrame, inside: np.ndarray
) -> Scores:
    """Box AP on some garments of one split; arguments and errors as ``score_subset_landmarks``."""
    outside = lies_outside(garments, predictions, inside)
    return score_boxes(images, garments, predictions, crowd=~inside, neutral=outside)


def lies_outside(garments: pd.DataFrame, predictions: pd.DataFrame, inside: np.ndarray) -> np.ndarray:
    """Which predictions lie on a garment that is not inside: bool (N,).

    A prediction lies on the garment whose box it overlaps most, one of its own category first, if the
    IoU is at least .5.
    """
    owner = owners(garments, predictions)
    return (owner >= 0) & ~np.append(inside, True)[owner]


def owners(garments: pd.DataFrame, predictions: pd.DataFrame) -> np.ndarray:
    """The row of the garment that each prediction lies on, -1 where there is none; int (N,)."""
    rows = pd.Series(np.arange(len(garments))).groupby(garments["image_id"].to_numpy()).indices
    boxes, kinds = _boxes(garments), garments["category_id"].to_numpy()
    predicted, predicted_kinds = _boxes(predictions), predictions["category_id"].to_numpy()
    out = np.full(len(predictions), -1)
    by_image = pd.Series(np.arange(len(predictions))).groupby(predictions["image_id"].to_numpy())
    for image_id, of_image in by_image.indices.items():
        labelled = rows.get(image_id)
        if labelled is None:
            continue
        iou = _iou(predicted[of_image], boxes[labelled])
        same = predicted_kinds[of_image][:, None] == kinds[labelled]
        rank = np.where(iou >= _MIN_IOU, iou + 2 * same, -1.0)
        best = rank.argmax(1)
        out[of_image] = np.where(rank.max(1) >= 0, labelled[best], -1)
    return out


def _only_visible(truth: GroundTruth) -> GroundTruth:
    keypoints = np.where(truth.keypoints[..., 2:] > 1, truth.keypoints, 0.0)
    return replace(truth, keypoints=keypoints, ignored=~(keypoints[..., 2] > 0).any(1))


def _boxes(table: pd.DataFrame) -> np.ndarray:
    return np.array(table["box"].to_list(), float).reshape(-1, 4)


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of boxes (N, 4) with boxes (M, 4), corners: (N, M)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clip(0).prod(-1)
    total = (a[:, 2:] - a[:, :2]).prod(-1)[:, None] + (b[:, 2:] - b[:, :2]).prod(-1)
    return shared / np.maximum(total - shared, np.finfo(float).tiny)
