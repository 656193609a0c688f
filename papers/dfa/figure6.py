"""Figure 6: percentage of landmarks detected within 15 px, on the five subsets."""

from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.alignment.reader import SUBSETS
from fashion_ops.evaluation.normalized_error import counted, pdl
from papers.alignment import MEAN_OF_TYPE, identify
from papers.config import TableConfig
from papers.dfa import paper
from papers.dfa.curves import draw_bars
from papers.dfa.figure5 import METHODS
from papers.dfa.runs import Runs, describe, open_runs
from papers.dfa.table3 import NAMES
from papers.table import Column, Table

PIXELS = 15


def run(config: TableConfig) -> Table:
    """PDL of each method on each subset; the first seed."""
    runs = open_runs(config, config.params.dfa_stage.source)[:1]
    table = pd.DataFrame(
        [_scores(runs[0], row) for row in METHODS.values()],
        index=pd.Index(METHODS, name="method"),
        columns=list(NAMES.values()),
    )
    data_name, is_papers_data = identify(runs[0].catalog)
    title = f"DFA Figure 6: landmarks detected within {PIXELS} px, by subset"

    return Table(
        name="figure6",
        title=title,
        columns=tuple(Column(name, 1, zero=True) for name in NAMES.values()),
        rows=table,
        ours=describe(runs, data_name),
        theirs=paper.FLD,
        same_data=is_papers_data,
        notes=(
            "PDL in percent of the visible landmarks, in a 224-px crop. The paper's bars are an "
            "image; its text says that even on normal poses the best is just above 70 %.",
            f"`{MEAN_OF_TYPE}` and IDPR's tree know a garment's type, DFA and DeepPose do not. All "
            "methods have equal steps (Table 2).",
        ),
    )


def draw(table: Table, path: Path) -> None:
    """Draw one group of bars a subset."""
    draw_bars(path, table.rows, table.title)


def _scores(runs: Runs, name: str) -> list[float]:
    distances = runs.errors(name)
    mask = counted(runs.test.rows.visibility, "visible")
    picked = [runs.test.rows.subset(key) for key in SUBSETS]
    return [pdl(distances[rows], mask[rows], PIXELS).micro if rows.any() else np.nan for rows in picked]
