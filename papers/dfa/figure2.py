"""Figure 2 (c): how many garments of each clothing type and subset, and what is visible of them."""

import pandas as pd

from fashion_ops.catalog.alignment.reader import SUBSETS
from fashion_ops.taxonomy.alignment import CLOTHES_TYPES
from papers.alignment import identify, open_source
from papers.config import TableConfig
from papers.dfa import paper
from papers.dfa.table3 import NAMES
from papers.table import Column, Table

STATES = ("visible", "occluded", "cut off")


def run(config: TableConfig) -> Table:
    """Shares in percent over all splits of the source; no network takes part."""
    catalog = open_source(config, config.params.dfa_stage.source)
    points = catalog.points()
    if not len(points):
        raise ValueError(
            f"{catalog.folder}: no clothes; dfa_stage.source must name a source of clothes"
        )
    groups = {"all": points.garment_id >= 0}
    groups |= {f"{name} body": points.clothes_type == n for n, name in enumerate(CLOTHES_TYPES, 1)}
    groups |= {NAMES[name]: points.subset(name) for name in SUBSETS}
    rows = {}
    for name, members in groups.items():
        if members.any():
            states = points.state[members][points.present[members]]
            shares = [100 * float((states == k).mean()) for k in range(len(STATES))]
            rows[name] = [int(members.sum()), 100 * float(members.mean()), *shares]
    columns = (
        Column("garments", 0, zero=True, drawn=False),
        Column("share, %", 1, zero=True),
        *(Column(f"{state}, %", 1, zero=True) for state in STATES),
    )
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[c.name for c in columns])
    data_name, is_papers_data = identify(catalog)
    return Table(
        name="figure2",
        title="DFA Figure 2 (c): garments by clothing type and subset",
        columns=columns,
        rows=table.rename_axis("garments"),
        ours=f"{data_name}, {len(points)} garments of all splits",
        theirs=paper.FLD,
        same_data=is_papers_data,
        notes=(
            "Share: of all garments; a garment may be in no subset. The other columns are shares of "
            "the landmarks that its type has.",
        ),
    )
