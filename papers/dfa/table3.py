"""Table 3: NE on the five subsets of pose and zoom-in."""

import numpy as np
import pandas as pd

from fashion_ops.catalog.alignment.reader import SUBSETS
from fashion_ops.evaluation.normalized_error import counted, ne
from papers.alignment import MEAN_OF_TYPE, identify
from papers.config import TableConfig
from papers.dfa import paper
from papers.dfa.runs import PLAIN_ROWS, Runs, describe, open_runs
from papers.table import Column, PaperColumn, Table

NAMES = dict(zip(SUBSETS, paper.COLUMNS_3, strict=True))


def run(config: TableConfig) -> Table:
    """NE over visible landmarks of each subset's garments, mean over seeds."""
    runs = open_runs(config, config.params.dfa_stage.source)
    names = [*PLAIN_ROWS, *paper.TABLE_3]
    rows = [np.mean([_scores(r, name) for r in runs], axis=0) for name in names]
    counts = [int(runs[0].test.rows.subset(s).sum()) for s in SUBSETS]
    data_name, is_papers_data = identify(runs[0].catalog)
    return Table(
        name="table3",
        title="DFA Table 3: NE by subset",
        columns=tuple(Column(name) for name in NAMES.values()),
        rows=pd.DataFrame(
            rows, index=pd.Index(names, name="stage and component"), columns=list(NAMES.values())
        ),
        ours=describe(runs, data_name),
        theirs=paper.FLD,
        same_data=is_papers_data,
        paper=tuple(
            PaperColumn(name, {row: v[k] for row, v in paper.TABLE_3.items()})
            for k, name in enumerate(paper.COLUMNS_3)
        ),
        notes=(
            "Garments: "
            + ", ".join(f"{n} {c}" for n, c in zip(NAMES.values(), counts, strict=True))
            + ".",
            "Subsets are the variation types of the data set; visible landmarks count. "
            f"`{MEAN_OF_TYPE}` knows a garment's type, the networks do not. All rows have equal steps "
            "(Table 2).",
        ),
        paper_data="FLD",
    )


def _scores(runs: Runs, name: str) -> list[float]:
    distances = runs.errors(name)
    mask = counted(runs.test.rows.visibility, "visible")
    out = []
    for key in SUBSETS:
        rows = runs.test.rows.subset(key)
        out.append(ne(distances[rows], mask[rows]).macro if rows.any() else float("nan"))
    return out
