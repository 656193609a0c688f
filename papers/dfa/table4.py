"""Table 4: human poses, strict PCP on LSP; DFA's pseudo-labels and routing on top of IDPR."""

import numpy as np
import pandas as pd

from fashion_ops.evaluation.pcp import pcp
from papers.config import TableConfig
from papers.dfa import paper
from papers.alignment import identify
from papers.dfa.runs import MEAN, STAGE_3, Runs, described, open_runs
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
    evaluated = [[_score(r, name) for r in runs] for name in METHODS.values()]
    rows = [np.mean([values for values, _ in per_seed], axis=0) for per_seed in evaluated]
    what, same = identify(runs[0].catalog)
    return Table(
        name="table4",
        title="DFA Table 4: strict PCP on human poses",
        columns=tuple(Column(name, 1) for name in paper.COLUMNS_4),
        rows=pd.DataFrame(rows, index=pd.Index(METHODS, name="method"), columns=list(paper.COLUMNS_4)),
        ours=described(runs, what),
        theirs=paper.LSP,
        same_data=same,
        paper=tuple(
            PaperColumn(name, {row: v[k] for row, v in paper.TABLE_4.items()})
            for k, name in enumerate(paper.COLUMNS_4)
        ),
        notes=(
            f"{judged[0][0][1]}.",
            "IDPR is our reading of it (docs/decisions.md); the paper's other rows are other authors'.",
        ),
        paper_data="LSP",
    )


def _score(runs: Runs, name: str) -> tuple[list[float], str]:
    split = runs.test
    found = pcp(split.to_pixels(runs.positions(name)), split.rows.xy)
    groups = [found.groups[name.replace(" ", "_")] for name in paper.COLUMNS_4[:-1]]
    return [*groups, found.mean], found.convention
