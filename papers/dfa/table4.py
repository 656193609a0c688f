"""Table 4: human poses, strict PCP on LSP; DFA's pseudo-labels and routing on top of IDPR."""

import numpy as np
import pandas as pd

from fashion_ops.evaluation.pcp import pcp
from papers.alignment import MEAN, identify
from papers.config import TableConfig
from papers.dfa import paper
from papers.dfa.runs import STAGE_3, Runs, describe, open_runs
from papers.table import Column, PaperColumn, Table

METHODS = {
    MEAN: MEAN,
    "DeepPose": "DeepPose (stage 3)",
    "DFA": STAGE_3,
    "IDPR": "IDPR",
    "IDPR + plabel": "IDPR + plabel",
    "IDPR + auto-routing": "IDPR + auto-routing",
}


def run(config: TableConfig) -> Table:
    """Strict PCP in percent, mean over seeds."""
    runs = open_runs(config, "lsp")
    scores = [[_score(r, name) for r in runs] for name in METHODS.values()]
    rows = [np.mean([values for values, _ in per_seed], axis=0) for per_seed in scores]
    data_name, is_papers_data = identify(runs[0].catalog)
    return Table(
        name="table4",
        title="DFA Table 4: strict PCP on human poses",
        columns=tuple(Column(name, 1) for name in paper.COLUMNS_4),
        rows=pd.DataFrame(rows, index=pd.Index(METHODS, name="method"), columns=list(paper.COLUMNS_4)),
        ours=describe(runs, data_name),
        theirs=paper.LSP,
        same_data=is_papers_data,
        paper=tuple(
            PaperColumn(name, {row: v[k] for row, v in paper.TABLE_4.items()})
            for k, name in enumerate(paper.COLUMNS_4)
        ),
        notes=(
            f"{scores[0][0][1]}.",
            "All rows have equal steps: the stages of DFA and DeepPose share the epochs, and so do "
            "IDPR's routed networks and the one that they continue. All are of one type, the person, "
            "so that there is one mean shape.",
            "IDPR is this repository's reimplementation (docs/decisions.md). Other rows of the paper "
            "are other authors' results.",
        ),
        paper_data="LSP",
    )


def _score(runs: Runs, name: str) -> tuple[list[float], str]:
    """PCP of each group of sticks and their mean, and the name of the convention."""
    split = runs.test
    result = pcp(split.to_pixels(runs.positions(name)), split.rows.xy)
    groups = [result.groups[name.replace(" ", "_")] for name in paper.COLUMNS_4[:-1]]
    return [*groups, result.mean], result.convention
