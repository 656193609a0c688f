"""DFA's Figure 7: the tables of attributes and of retrieval in one, for ``dfa --figure 7``."""

from functools import cache, partial

import pandas as pd

from papers.applications import attributes, retrieval
from papers.applications.localisations import train_localiser
from papers.config import TableConfig
from papers.table import Column, Table


def run(config: TableConfig) -> Table:
    """Top-5 recall of attributes and hit@k of retrieval for the four localisations, one training.

    Raises:
        FileNotFoundError: a catalog is missing.
        ValueError: a catalog has no garments to train on or to evaluate.
    """
    localisers = cache(partial(train_localiser, config))
    left, right = attributes.run(config, localisers), retrieval.run(config, localisers)
    names = [name for name in left.rows.columns if str(name).endswith(attributes.MACRO)]
    columns = [*(left.column(str(name)) for name in names), *right.columns]
    rows = pd.concat([left.rows[names], right.rows], axis=1)
    rows.index.name = left.rows.index.name
    return Table(
        name="figure7",
        title="DFA Figure 7: attributes and retrieval by where the features come from",
        columns=tuple(Column(c.name, c.digits, drawn=c.drawn) for c in columns),
        rows=rows,
        ours=f"attributes: {left.ours}; retrieval: {right.ours}",
        theirs=left.theirs,
        same_data=False,
        paper=(*left.paper, *right.paper),
        notes=(*left.notes, *right.notes),
        paper_data=left.paper_data,
    )
