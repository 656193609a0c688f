"""How much boxes overlap."""

import numpy as np


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the intersection over union (N, M) of boxes (N, 4) and others (M, 4).

    Args:
        boxes: x1, y1, x2, y2.
        others: likewise.

    Returns:
        0 to 1; equal boxes have 1, also empty ones.
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    inner = (np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - low).clip(0).prod(-1)
    area, area_of_others = ((b[:, 2:] - b[:, :2]).prod(-1) for b in (boxes, others))
    union = area[:, None] + area_of_others[None] - inner
    equal = (boxes[:, None] == others[None]).all(-1)
    return np.where(equal, 1.0, inner / np.maximum(union, 1e-9))
