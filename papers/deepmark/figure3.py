"""Figure 3: semantic groups. Each landmark has its group's number; equal numbers share a channel."""

from functools import partial

import pandas as pd

from fashion_ops.taxonomy import CATEGORIES, load_grouping
from papers.config import TableConfig
from papers.deepmark import paper
from papers.evaluation_set import load_evaluation_set
from papers.skeletons import draw_skeletons
from papers.table import Column, Table

TITLE = "DeepMark++ Figure 3: the 62 semantic groups"


def run(config: TableConfig) -> Table:
    """Count the groups that each category shares with others; draw them on the mean shapes."""
    evaluated, grouping = load_evaluation_set(config), load_grouping("semantic62")
    garments, users = evaluated.training_garments(), grouping.mask.sum(0)
    used = [grouping.mask[c.id - 1] for c in CATEGORIES]
    rows = pd.DataFrame(
        {
            "landmarks": [c.num_landmarks for c in CATEGORIES],
            "shared groups": [int((mask & (users > 1)).sum()) for mask in used],
            "groups of its own": [int((mask & (users == 1)).sum()) for mask in used],
        },
        index=pd.Index([c.name for c in CATEGORIES], name="category"),
    )
    return Table(
        name="figure3",
        title=TITLE,
        columns=tuple(Column(name, 0, "nothing", zero=True) for name in rows.columns),
        rows=rows,
        ours=f"mean shapes of {len(garments)} training garments, as wide and high as their median box",
        theirs=paper.DATA,
        same_data=evaluated.is_papers_data,
        notes=(
            f"{int(grouping.num_groups)} groups, of which {int((users > 1).sum())} are shared by two "
            "categories or more. The paper's list was never published; ours follows its rule "
            "(fashion_ops/taxonomy/grouping.py).",
        ),
        picture=partial(
            draw_skeletons,
            garments=garments,
            numbers=lambda c: grouping.channels(c.id) + 1,
            title=TITLE,
        ),
    )
