"""Figure 7: attributes and retrieval by where the features come from, both in one table.

The applications are the tables ``ablate attributes`` and ``ablate retrieval``.
"""

import pandas as pd

from papers.applications import attributes, retrieval
from papers.applications.localisations import train_localiser
from papers.config import Request
from papers.table import Column, Table


def run(request: Request) -> Table:
    """Top-5 recall of attributes and hit@k of retrieval for the four localisations.

    Raises:
        FileNotFoundError: a catalog is missing.
        ValueError: nothing to train on or to judge.
    """
    localiser = train_localiser(request)
    left, right = attributes.run(request, localiser), retrieval.run(request, localiser)
    shown = [left.column(attributes.MACRO), *right.columns]
    rows = pd.concat([left.rows[[attributes.MACRO]], right.rows], axis=1)
    rows.index.name = left.rows.index.name
    return Table(
        name="figure7",
        title="DFA Figure 7: attributes and retrieval by where the features come from",
        columns=tuple(Column(c.name, c.digits) for c in shown),
        rows=rows,
        ours=f"attributes: {left.ours}; retrieval: {right.ours}",
        theirs=left.theirs,
        same_data=False,
        paper=(*left.paper, *right.paper),
        notes=(*left.notes, *right.notes),
        paper_data=left.paper_data,
    )
