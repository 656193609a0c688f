"""Figure 1: the 294 landmarks of the 13 categories, on the mean shapes of the training garments."""

from functools import partial

import numpy as np
import pandas as pd

from fashion_ops.taxonomy import CATEGORIES, NUM_LANDMARKS, load_grouping
from papers.agg_finetune import paper
from papers.config import TableConfig
from papers.evaluation_set import load_evaluation_set
from papers.skeletons import draw_skeletons
from papers.table import Column, Table, garment_counts

TITLE = "Aggregation & Finetuning Figure 1: the 294 landmarks"


def run(config: TableConfig) -> Table:
    """Count landmarks, and the groups of agg81 that a category uses; draw the mean shapes."""
    evaluated = load_evaluation_set(config)
    garments, grouping = evaluated.training_garments(), load_grouping("agg81")
    rows = pd.DataFrame(
        {
            "landmarks": [c.num_landmarks for c in CATEGORIES],
            "first of the 294": [c.slots.start + 1 for c in CATEGORIES],
            "groups of its own": [_own(grouping.mask, c.id) for c in CATEGORIES],
            "training garments": garment_counts(garments),
        },
        index=pd.Index([c.name for c in CATEGORIES], name="category"),
    )
    return Table(
        name="figure1",
        title=TITLE,
        columns=tuple(Column(name, 0, "nothing", zero=True) for name in rows.columns),
        rows=rows,
        ours=f"mean shapes of {len(garments)} training garments, as wide and high as their median box",
        theirs=paper.DATA,
        same_data=evaluated.is_papers_data,
        notes=(
            f"{NUM_LANDMARKS} landmarks in {grouping.num_groups} groups. Groups of its own: those that "
            "no other category uses. Blue landmarks are left, orange ones right.",
        ),
        picture=partial(
            draw_skeletons,
            garments=garments,
            numbers=lambda c: np.arange(1, c.num_landmarks + 1),
            title=TITLE,
        ),
    )


def _own(mask: np.ndarray, category_id: int) -> int:
    return int((mask[category_id - 1] & (mask.sum(0) == 1)).sum())
