"""How sure a landmarker is of a garment: the mean height of its maps' peaks that are high enough."""

import numpy as np

SURE = 0.2  # a peak below this does not count (Aggregation & Finetuning)


def pose_score(pose: np.ndarray) -> float:
    """Mean of the peaks above ``SURE``, 0 when there is none.

    Args:
        pose: (K, 3) x, y, peak: a category's own landmarks, or all channels as the challenge's winner
            has it.
    """
    peaks = pose[:, 2][pose[:, 2] > SURE]
    return float(peaks.mean()) if len(peaks) else 0.0
