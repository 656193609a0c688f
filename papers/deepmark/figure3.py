"""Figure 3: semantic groups. Each landmark has its group's number; equal numbers share a channel."""

from fashion_ops.taxonomy import CATEGORIES, load_grouping
from papers.config import TableConfig
from papers.deepmark import paper
from papers.evaluation_set import load_evaluation_set
from papers.skeletons import skeleton_table
from papers.table import Table


def run(config: TableConfig) -> Table:
    """Count the groups that each category shares with others; draw them on the mean shapes."""
    evaluated, grouping = load_evaluation_set(config), load_grouping("semantic62")
    users, used = grouping.mask.sum(0), [grouping.mask[c.id - 1] for c in CATEGORIES]
    return skeleton_table(
        "figure3",
        "DeepMark++ Figure 3: the 62 semantic groups",
        evaluated,
        paper.DATA,
        {
            "landmarks": [c.num_landmarks for c in CATEGORIES],
            "shared groups": [int((mask & (users > 1)).sum()) for mask in used],
            "groups of its own": [int((mask & (users == 1)).sum()) for mask in used],
        },
        (
            f"{grouping.num_groups} groups, of which {int((users > 1).sum())} are shared by two "
            "categories or more. The paper's list was never published; ours follows its rule "
            "(fashion_ops/taxonomy/grouping.py).",
        ),
        lambda c: grouping.channels(c.id) + 1,
    )
