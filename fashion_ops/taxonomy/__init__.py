"""What a garment is: 13 categories, their 294 landmarks, and the groupings of those landmarks.

The tables are CSV files beside this module; ``tables`` reads them once, ``grouping`` maps the 294
landmarks onto fewer output channels. ``alignment`` has the points of fashion alignment data.
"""

# ruff: noqa: F401 - the package's names
from fashion_ops.taxonomy.grouping import GROUPINGS, Grouping, load_grouping
from fashion_ops.taxonomy.tables import (
    CATEGORIES,
    CATEGORY_NAMES,
    NUM_CATEGORIES,
    NUM_LANDMARKS,
    SKELETON,
    Category,
    category,
    sigmas,
)
