"""Table ``stages``: one cascade as the step ``dfa_stage`` trains it, each stage on top of the last.

Every stage takes all epochs of the run, so a later stage also has more steps behind it; Table 2 has the
comparison at equal steps.
"""

import numpy as np
import pandas as pd

from fashion_ops.evaluation.normalized_error import counted, ne
from fashion_ops.evaluation.visibility import score_visibility
from papers.alignment import MEAN, MEAN_OF_TYPE, identify
from papers.config import TableConfig
from papers.dfa import paper
from papers.dfa.runs import STAGE_1, STAGE_2, STAGE_3, TEST, Runs, describe, open_runs
from papers.table import Column, Table

ROWS = {
    MEAN: MEAN,
    MEAN_OF_TYPE: MEAN_OF_TYPE,
    "stage 1": STAGE_1,
    "stage 2": STAGE_2,
    "stage 3": STAGE_3,
}
STAGES = tuple(ROWS)[1:]  # each has to be better than the one before
AVERAGE = "mean"
VISIBILITY = ("visibility accuracy", "always visible", "cut-off precision", "cut-off recall")


def run(config: TableConfig) -> Table:
    """NE over visible landmarks for each seed, and how well cut-off landmarks are found."""
    runs = open_runs(config, config.params.dfa_stage.source, shared=False)
    seeds = [f"seed {r.seed}" for r in runs]
    table = pd.DataFrame(
        [_row(runs, ROWS[name]) for name in ROWS],
        index=pd.Index(ROWS, name="stage"),
        columns=[*seeds, AVERAGE, *VISIBILITY],
    )
    data_name, is_papers_data = identify(runs[0].catalog)
    return Table(
        name="stages",
        title="One cascade of DFA, stage by stage: NE",
        columns=(
            *(Column(seed, 4, drawn=False) for seed in seeds),
            Column(AVERAGE, 4),
            *(Column(name, 3, drawn=False) for name in VISIBILITY),
        ),
        rows=table,
        ours=describe(runs, data_name),
        theirs=paper.FLD,
        same_data=is_papers_data,
        notes=(
            _order(table, seeds),
            "Each stage continues the one before for as long again, as the steps do; Table 2 compares "
            "stages at equal steps.",
            f"Averages are over visible landmarks, in the {runs[0].params.frame} frame. "
            f"`{MEAN_OF_TYPE}` knows a garment's type, the networks do not.",
        ),
    )


def _row(runs: list[Runs], name: str) -> list[float]:
    """NE of each seed, their mean, and the scores of visibility, NaN where none is predicted."""
    scores = [ne(r.errors(name), counted(r.test.rows.visibility, "visible")).macro for r in runs]
    states = [_visibility(r, name) for r in runs if name not in (MEAN, MEAN_OF_TYPE)]
    means = [
        float(np.mean([s.get(key, np.nan) for s in states])) if states else np.nan for key in VISIBILITY
    ]
    return [*scores, float(np.mean(scores)), *means]


def _visibility(runs: Runs, name: str) -> dict[str, float]:
    predicted, rows = runs.row(name)[1][TEST].visibility.argmax(-1), runs.test.rows
    return score_visibility(predicted, rows.state, rows.present).metrics()


def _order(table: pd.DataFrame, seeds: list[str]) -> str:
    """In how many seeds each stage is better than the row above it."""
    errors = table.loc[list(STAGES), seeds].to_numpy(float)
    falls = (np.diff(errors, axis=0) < 0).all(axis=0)
    return (
        f"Each stage is better than the one before, and stage 1 than the mean shape of each type, in "
        f"{int(falls.sum())} of {len(seeds)} seeds."
    )
