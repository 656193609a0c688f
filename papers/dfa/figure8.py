"""Figure 8: landmarks of each method on the same test garments, beside the truth."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.evaluation.normalized_error import counted
from papers.alignment import identify
from papers.config import TableConfig
from papers.dfa import paper
from papers.dfa.runs import STAGE_1, STAGE_2, STAGE_3, Runs, describe, open_runs
from papers.pictures import landmark_tile, spread, write_sheet
from papers.table import Column, Table

METHODS = {
    "IDPR": "IDPR",
    "DeepPose (stage 1)": "DeepPose (stage 1)",
    "DeepPose (full)": "DeepPose (stage 3)",
    "DFA (stage 1)": STAGE_1,
    "DFA (stage 2)": STAGE_2,
    "DFA (full)": STAGE_3,
}
GARMENTS = 8


def run(config: TableConfig, name: str = "figure8", start: float = 0.0) -> Table:
    """Draw garments spread over the test split; the first seed.

    Args:
        config: options of the table.
        name: of the figure.
        start: of the spread, so that another figure shows other garments.
    """
    runs = open_runs(config, config.params.dfa_stage.source)[:1]
    chosen = spread(len(runs[0].test), GARMENTS, start)
    positions = {method: runs[0].positions(row) for method, row in METHODS.items()}
    table = pd.DataFrame(
        {method: _errors(runs[0], row, chosen) for method, row in METHODS.items()},
        index=pd.Index([f"garment {i}" for i in runs[0].test.rows.garment_id[chosen]], name="line"),
    )
    data_name, is_papers_data = identify(runs[0].catalog)
    title = f"DFA Figure {name.removeprefix('figure')}: landmarks by method"
    return Table(
        name=name,
        title=title,
        columns=tuple(Column(method, drawn=False) for method in METHODS),
        rows=table,
        ours=describe(runs, data_name),
        theirs=paper.FLD,
        same_data=is_papers_data,
        notes=(
            "NE of the drawn garments over their visible landmarks; the garments are spread evenly "
            "over the test split, not chosen.",
        ),
        picture=partial(_draw, runs=runs[0], chosen=chosen, positions=positions, title=title),
    )


def _errors(runs: Runs, row: str, chosen: np.ndarray) -> list[float]:
    """NE of each chosen garment; NaN where no landmark is visible."""
    mask = counted(runs.test.rows.visibility, "visible")
    return [
        float(d[m].mean()) if m.any() else np.nan
        for d, m in zip(runs.errors(row)[chosen], mask[chosen], strict=True)
    ]


def _draw(
    path: Path, runs: Runs, chosen: np.ndarray, positions: dict[str, np.ndarray], title: str
) -> None:
    test, lines = runs.test, []
    for i in chosen:
        truth = landmark_tile(
            test.crops, i, test.shapes.positions[i], test.points, test.shapes.observed[i]
        )
        slots = test.shapes.slots[i]
        tiles = [landmark_tile(test.crops, i, p[i], test.points, slots) for p in positions.values()]
        lines.append([truth, *tiles])
    write_sheet(path, title, ["truth", *positions], lines)
