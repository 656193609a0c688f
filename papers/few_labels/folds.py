"""How photos are dealt into folds, and in which order a fold's photos get their labels."""

import numpy as np


def deal(sets: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Deal photos into folds that hold the sets in equal parts.

    Args:
        sets: (N,) set of each photo.
        folds: their number.
        seed: of the order in which photos are dealt.

    Returns:
        (N,) fold of each photo, 0..folds-1; sizes differ by at most one.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(sets))
    order = order[np.argsort(sets[order], kind="stable")]
    out = np.empty(len(sets), np.int64)
    out[order] = np.arange(len(sets)) % folds
    return out


def label_order(sets: np.ndarray, seed: int) -> np.ndarray:
    """Order photos so that the first n hold the sets in their proportions, for each n.

    The photos of n labels are thus among those of any larger number.

    Args:
        sets: (N,) set of each photo.
        seed: of the order within a set.
    """
    rng = np.random.default_rng(seed)
    place = np.empty(len(sets))
    for one in np.unique(sets):
        rows = np.flatnonzero(sets == one)
        place[rng.permutation(rows)] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.argsort(place, kind="stable")
