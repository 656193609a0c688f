"""The share of a training's samples that are real photos, among images that the wardrobe drew.

A few labelled photos among thousands of drawings would hardly be seen. ``real_share`` of a training
draws them more often: their weights together are the share, those of the drawings together the rest.
"""

import numpy as np


def share_weights(
    share: float, real: np.ndarray | None, step: str, weights: np.ndarray | None = None
) -> np.ndarray:
    """Compute relative frequencies (N,) of samples, of which ``share`` are of photos.

    Args:
        share: of the samples, 0..1.
        real: (N,) bool, which samples are of photos; None where nothing says so.
        step: whose parameter ``real_share`` is, for the message.
        weights: (N,) relative frequencies among the photos and among the drawings; None for equal ones.

    Raises:
        ValueError: as ``check_real_share``.
    """
    real = check_real_share(share, real, step)
    out = np.ones(len(real)) if weights is None else weights.astype(float)
    for rows, part in ((real, share), (~real, 1 - share)):
        if rows.any():
            out[rows] *= part / out[rows].sum()
    return out


def check_real_share(share: float, real: np.ndarray | None, step: str) -> np.ndarray:
    """Check that there is what a share would draw; returns ``real``.

    Args:
        share: of the samples, 0..1.
        real: (N,) bool, which samples are of photos; None where nothing says so.
        step: whose parameter it is, for the message.

    Raises:
        ValueError: it is unknown which samples are of photos; there are none; or there are no drawings
            for the rest of the share.
    """
    if real is None:
        raise ValueError(
            f"{step}.real_share is {share:g}, but nothing says which samples are of real photos: set "
            "it to null here"
        )
    if not real.any():
        raise ValueError(
            f"{step}.real_share is {share:g}, but none of the {len(real)} training samples is of a "
            "real photo, as the wardrobe drew them all: add labelled photos (`fashion-ops batches`), "
            "or set it to null"
        )
    if real.all() and share < 1:
        raise ValueError(
            f"{step}.real_share is {share:g}, but all {len(real)} training samples are of real photos: "
            "set it to null"
        )
    return real
