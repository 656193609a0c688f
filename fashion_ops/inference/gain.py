"""Which unlabelled photos teach most: of which a model is unsure, and which differ from each other.

The gain of a garment is its uncertainty times its distance to the nearest garment that is labelled or
ranked before it, and that of a photo the mean of its garments, as each of them must be labelled. So the
ranking goes from photo to photo: farthest-first, the greedy algorithm of k-center (Sener and Savarese,
ICLR 2018), weighted.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from fashion_ops.taxonomy import CATEGORIES, NUM_CATEGORIES, load_grouping

GROUPING = "semantic62"  # landmarks of one meaning are compared across categories
_OTHER_CATEGORY = 1.0  # distance of two equal shapes of different categories; a shape has size 1


class Ranked(NamedTuple):
    """The order in which to label photos, and the gain of each at its turn."""

    order: Int[np.ndarray, " n"]
    gains: Float[np.ndarray, " n"]


def rank_by_gain(
    photo: Int[np.ndarray, " g"],
    uncertainty: Float[np.ndarray, " g"],
    embeddings: Float[np.ndarray, "g d"],
    labelled: Float[np.ndarray, "m d"] | None = None,
    count: int | None = None,
) -> Ranked:
    """Rank photos by the mean gain of their garments.

    Args:
        photo: of each garment, 0..n-1; each photo has one at least, see ``NOTHING``.
        uncertainty: of each garment, from 0.
        embeddings: of each garment; distances are Euclidean.
        labelled: embeddings of labelled garments; without any the most unsure photo is the first.
        count: rank so many photos; None for all.
    """
    number = int(photo.max()) + 1 if len(photo) else 0
    garments = np.bincount(photo, minlength=number)
    nearest = np.full(len(photo), np.inf)
    for row in labelled if labelled is not None else ():
        nearest = np.minimum(nearest, np.linalg.norm(embeddings - row, axis=1))
    order, gains, left = [], [], np.ones(number, bool)
    for _ in range(number if count is None else min(number, count)):
        distance = np.where(np.isinf(nearest), 1.0, nearest)
        gain = np.bincount(photo, uncertainty * distance, number) / garments
        chosen = int(np.where(left, gain, -1.0).argmax())
        order.append(chosen)
        gains.append(float(gain[chosen]))
        left[chosen] = False
        for row in embeddings[photo == chosen]:
            nearest = np.minimum(nearest, np.linalg.norm(embeddings - row, axis=1))
    return Ranked(np.array(order, int), np.array(gains, float))


def shape_embedding(category_id: int, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " d"]:
    """A garment's category and shape as a point; distances between points say how garments differ.

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


# Stands for the garment of a photo in which a model finds none.
NOTHING = np.zeros_like(shape_embedding(1, np.zeros((CATEGORIES[0].num_landmarks, 2))))
