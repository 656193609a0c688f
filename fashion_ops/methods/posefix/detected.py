"""Poses that a detector found for labelled garments: what DeepMark++ trains its refiners on."""

import numpy as np
import pandas as pd
import torch
from torchvision.ops import box_iou

from fashion_ops.catalog.training_data import TrainingGarments

MATCH_IOU = 0.5  # of a detection's box with that of the garment that it is of


def match_poses(garments: TrainingGarments, detections: pd.DataFrame, n: int) -> np.ndarray:
    """Find the detected landmarks (N, n, 3) of each labelled garment, NaN where it was not detected.

    In the order of their scores detections take the free garment of their image that they overlap
    most, if the IoU is at least ``MATCH_IOU``.

    Args:
        garments: of one category.
        detections: ``schemas.PREDICTIONS``; those of other categories and images are ignored.
        n: number of landmarks of the category.
    """
    poses = np.full((len(garments), n, 3), np.nan, np.float32)
    if not len(garments):
        return poses
    category_id = int(garments.category_id[0])
    mine = detections[detections["category_id"] == category_id]
    by_image = dict(tuple(mine.groupby("image_id", sort=False)))
    order = np.argsort(garments.image_id, kind="stable")
    starts = np.flatnonzero(np.diff(garments.image_id[order], prepend=-1))
    for members in np.split(order, starts[1:]):
        rows = by_image.get(int(garments.image_id[members[0]]))
        if rows is None:
            continue
        rows = rows.sort_values("score", ascending=False, kind="stable")
        boxes = torch.from_numpy(np.stack(rows["box"].to_list()).astype(np.float32))
        overlap = box_iou(boxes, torch.from_numpy(garments.boxes[members]).float())
        overlap = overlap.nan_to_num(0).numpy()  # nan: two empty boxes
        for number, landmarks in enumerate(rows["landmarks"]):
            best = int(overlap[number].argmax())
            if overlap[number, best] >= MATCH_IOU:
                poses[members[best]] = np.reshape(landmarks, (n, 3))
                overlap[:, best] = 0  # taken
    return poses
