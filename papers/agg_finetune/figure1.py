"""Figure 1: the 294 landmarks of the 13 categories, on the mean shapes of the training garments."""

import numpy as np

from fashion_ops.taxonomy import CATEGORIES, NUM_LANDMARKS, load_grouping
from papers.agg_finetune import paper
from papers.config import TableConfig
from papers.evaluation_set import load_evaluation_set
from papers.skeletons import skeleton_table
from papers.table import Table, garment_counts


def run(config: TableConfig) -> Table:
    """Count landmarks, and the groups of agg81 that only one category uses; draw the mean shapes."""
    evaluated, grouping = load_evaluation_set(config), load_grouping("agg81")
    single = grouping.mask.sum(0) == 1
    return skeleton_table(
        "figure1",
        "Aggregation & Finetuning Figure 1: the 294 landmarks",
        evaluated,
        paper.DATA,
        {
            "landmarks": [c.num_landmarks for c in CATEGORIES],
            "first of the 294": [c.slots.start + 1 for c in CATEGORIES],
            "groups of its own": [int((grouping.mask[c.id - 1] & single).sum()) for c in CATEGORIES],
            "training garments": garment_counts(evaluated.training_garments()),
        },
        (
            f"{NUM_LANDMARKS} landmarks in {grouping.num_groups} groups. Groups of its own: those that "
            "no other category uses. Blue landmarks are left, orange ones right.",
        ),
        lambda c: np.arange(1, c.num_landmarks + 1),
    )
