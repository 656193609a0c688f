"""Table 2: normalised error (NE) of each landmark for the components of each stage."""

import numpy as np
import pandas as pd

from fashion_ops.evaluation.normalized_error import FrameName, counted, ne
from fashion_ops.methods.alignment.dfa.routing import HARD
from papers.alignment import MEAN, MEAN_OF_TYPE, identify
from papers.config import TableConfig
from papers.dfa import paper
from papers.dfa.runs import (
    DIRECT,
    LABEL_INPUT,
    PLAIN_ROWS,
    ROWS,
    STAGE_1,
    STAGE_2,
    STAGE_3,
    TEST,
    Runs,
    describe,
    open_runs,
)
from papers.subprocess_measure import machine
from papers.table import Column, PaperColumn, Table

COLUMNS = (
    *("L. collar", "R. collar", "L. sleeve", "R. sleeve", "L. waist", "R. waist", "L. hem", "R. hem"),
    "average",
)
SPREAD = "s.d. of average"
STRETCHED = "average, stretched box"


def run(config: TableConfig) -> Table:
    """NE over visible landmarks, the mean over landmarks, then over seeds."""
    runs = open_runs(config, config.params.dfa_stage.source)
    names = [*PLAIN_ROWS, *config.chosen(ROWS)]
    table = pd.DataFrame(
        [_row(runs, name) for name in names],
        index=pd.Index(names, name="stage and component"),
        columns=[*COLUMNS, SPREAD, STRETCHED],
    )
    if len(runs) == 1:
        table = table.drop(columns=SPREAD)
    data_name, is_papers_data = identify(runs[0].catalog)
    columns = tuple(Column(str(name), drawn=name == "average") for name in table)
    return Table(
        name="table2",
        title="DFA Table 2: components of each stage, NE by landmark",
        columns=columns,
        rows=table,
        ours=f"{describe(runs, data_name)}, on {machine('cpu')}",
        theirs=paper.FLD,
        same_data=is_papers_data,
        paper=tuple(
            PaperColumn(name, {row: v[k] for row, v in paper.TABLE_2.items() if row in names})
            for k, name in enumerate(paper.COLUMNS_2)
        ),
        notes=(*_gains(runs, names), *_notes(runs, names)),
        paper_data="FLD",
    )


def _row(runs: list[Runs], name: str) -> list[float]:
    per_seed = np.array([_scores(r, name) for r in runs])
    stretched = [_average(r, name, "box") for r in runs]
    return [*per_seed.mean(axis=0), float(per_seed[:, -1].std()), float(np.mean(stretched))]


def _average(runs: Runs, name: str, frame: FrameName) -> float:
    """Mean over the landmarks of their NE, in a frame."""
    return ne(runs.errors(name, frame), counted(runs.test.rows.visibility, "visible")).macro


def _scores(runs: Runs, name: str) -> list[float]:
    score = ne(runs.errors(name), counted(runs.test.rows.visibility, "visible"))
    return [*score.per_point, score.macro]


def _gains(runs: list[Runs], names: list[str]) -> list[str]:
    """The paper's claims about these rows, checked seed by seed."""
    claims = (
        (STAGE_1, MEAN),
        (STAGE_1, MEAN_OF_TYPE),
        (STAGE_1, DIRECT),
        (DIRECT, "1 - visibility"),
        (STAGE_2, STAGE_1),
        (STAGE_3, STAGE_2),
        (LABEL_INPUT, STAGE_3),
        ("3 + auto-routing", "3 + two-branch"),
        ("3 + auto-routing", "3 direct regression"),
    )
    lines = []
    for better, worse in claims:
        if not {better, worse} <= set(names):
            continue
        pairs = [(_scores(r, better)[-1], _scores(r, worse)[-1]) for r in runs]
        count = sum(a <= b for a, b in pairs)
        errors = ", ".join(f"{a:.4f} and {b:.4f}" for a, b in pairs)
        lines.append(f"`{better}` no worse than `{worse}` in {count} of {len(runs)} seeds ({errors}).")
    return lines


def _notes(runs: list[Runs], names: list[str]) -> list[str]:
    return [
        "Averages are over the landmarks that are visible (occluded and cut-off ones don't count), in "
        f"the {runs[0].params.frame} frame. The paper names no point set and has no waistline.",
        f"`{STRETCHED}`: x over the width of the box and y over its height, as eq. 5 of the paper; in "
        "the letterbox both are divided by the longer side, as in the authors' release.",
        *([_hard_branch(runs)] if STAGE_3 in names else []),
        _lengths(runs[0]),
        f"`{MEAN_OF_TYPE}` knows a garment's type, the networks do not.",
    ]


def _hard_branch(runs: list[Runs]) -> str:
    """How many garments take the hard branch of stage 3."""
    hard = [float((r.row(STAGE_3)[1][TEST].branch == HARD).mean()) for r in runs]
    epsilon = runs[0].params.epsilon
    threshold = "the median of stage 2's G" if epsilon is None else f"{epsilon:g}"
    shares = ", ".join(f"{100 * h:.0f} %" for h in hard)
    return f"Hard branch: {shares} of the garments, epsilon is {threshold}."


def _lengths(runs: Runs) -> str:
    """What the stages of a row continue, and for how long each trains."""
    text = "Stage 2 continues `1 + plabels (T=20)`, stage 3 `2 + plabels (offset)`"
    if not runs.params.inherit:
        return f"{text}; every network starts afresh and trains for {runs.params.epochs} epochs."
    link, last = runs.epochs(1, link=True), [runs.epochs(stage) for stage in (1, 2, 3)]
    return (
        f"{text}, from its weights. All rows have equal steps: {last[0]} epochs in stage 1; {link} + "
        f"{last[1]} in stages 1 and 2; {link} + {link} + {last[2]} in all three. Both networks of a "
        "stage take as many steps."
    )
