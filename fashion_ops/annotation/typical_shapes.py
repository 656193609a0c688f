"""Where the landmarks of a garment lie in its box if nothing else is known: for garments drawn by hand.

The mean over garments of the synthetic wardrobe that lie flat, seen from the front.
"""

from functools import cache

import numpy as np

from fashion_ops.synthetic.wardrobe.body import pose_flat
from fashion_ops.synthetic.wardrobe.render import SEW
from fashion_ops.synthetic.wardrobe.style import sample_style
from fashion_ops.taxonomy import category

_GARMENTS = 16  # of a category


@cache
def typical_shape(name: str) -> np.ndarray:
    """The landmarks of a category, (num_landmarks, 2) in 0..1 of the width and height of their box.

    Args:
        name: of the category.
    """
    shapes = []
    for seed in range(_GARMENTS):
        rng = np.random.default_rng([seed, category(name).id])
        style = sample_style(category(name).id, rng)
        garment = SEW[style.kind](style, pose_flat(rng, short_sleeves=style.sleeve < 0.5))
        points = garment.ordered()[0]
        low, high = points.min(0), points.max(0)
        shapes.append((points - low) / (high - low))
    mean = np.mean(shapes, 0)
    low, high = mean.min(0), mean.max(0)
    return (mean - low) / (high - low)
