"""Which unlabelled photos teach most: of which a model is unsure, and which differ from each other.

The gain of a photo is its uncertainty times its distance to the nearest photo that is labelled or was
chosen before it, so the ranking goes from photo to photo: farthest-first, the greedy algorithm of
k-center (Sener and Savarese, ICLR 2018), weighted.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from fashion_ops.taxonomy import NUM_CATEGORIES, load_grouping

GROUPING = "semantic62"  # landmarks of one meaning are compared across categories
_OTHER_CATEGORY = 1.0  # distance of two equal shapes of different categories, in units of a shape


class Ranked(NamedTuple):
    """The order in which to label photos, and the gain of each at its turn."""

    order: Int[np.ndarray, " n"]
    gains: Float[np.ndarray, " n"]


def rank_by_gain(
    uncertainty: Float[np.ndarray, " n"],
    embeddings: Float[np.ndarray, "n d"],
    labelled: Float[np.ndarray, "m d"] | None = None,
    count: int | None = None,
) -> Ranked:
    """Rank photos by uncertainty times distance to what is labelled or ranked before.

    Args:
        uncertainty: of each photo, from 0.
        embeddings: of each photo; distances are Euclidean.
        labelled: embeddings of labelled photos; without any, the most unsure photo is the first.
        count: rank so many; None for all.
    """
    number = len(uncertainty)
    nearest = np.full(number, np.inf)
    for row in labelled if labelled is not None else ():
        nearest = np.minimum(nearest, np.linalg.norm(embeddings - row, axis=1))
    left = np.ones(number, bool)
    order, gains = [], []
    for _ in range(min(number, number if count is None else count)):
        distance = np.where(np.isinf(nearest), 1.0, nearest)
        gain = np.where(left, uncertainty * distance, -1.0)
        chosen = int(gain.argmax())
        order.append(chosen)
        gains.append(float(gain[chosen]))
        left[chosen] = False
        nearest = np.minimum(nearest, np.linalg.norm(embeddings - embeddings[chosen], axis=1))
    return Ranked(np.array(order, int), np.array(gains, float))


def shape_embedding(category_id: int, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " d"]:
    """A garment's category and the shape of its landmarks, of which the distance says how they differ.

    Args:
        category_id: 1..13.
        points: its landmarks; position and size do not matter.
    """
    grouping = load_grouping(GROUPING)
    centred = points - points.mean(0)
    size = float(np.sqrt((centred**2).sum(1).mean()))
    shape = np.zeros((grouping.num_groups, 2))
    shape[grouping.channels(category_id)] = centred / max(size, 1e-6) / np.sqrt(len(points))
    one = np.zeros(NUM_CATEGORIES)
    one[category_id - 1] = _OTHER_CATEGORY / np.sqrt(2)
    return np.concatenate([one, shape.ravel()])
