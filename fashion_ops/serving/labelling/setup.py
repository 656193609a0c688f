"""What the page must know of garments and limits before it shows a photo."""

from typing import Any

import numpy as np

from fashion_ops.annotation.typical_shapes import typical_shape
from fashion_ops.inference.measuring import UNSURE
from fashion_ops.serving.limits import Limits
from fashion_ops.taxonomy import CATEGORIES, load_grouping

MEANINGS = ("agg81", "semantic62")  # groups of landmarks with one meaning, the finer ones first


def page_setup(limits: Limits, *, saves: bool) -> dict[str, Any]:
    """Categories with their landmarks, links, meanings and typical shape, and the limits.

    Args:
        limits: of the service.
        saves: whether there is an inbox.
    """
    meanings = [load_grouping(name) for name in MEANINGS]
    return {
        "categories": [
            {
                "name": kind.name,
                "landmarks": kind.landmark_names,
                "links": kind.links,
                "meanings": [grouping.channels(kind.id).tolist() for grouping in meanings],
                "shape": np.round(typical_shape(kind.name), 4).tolist(),
            }
            for kind in CATEGORIES
        ],
        "unsure": UNSURE,
        "body_mb": limits.body_mb,
        "saves": saves,
    }
