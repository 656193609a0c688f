"""Figure 5: percentage of detected landmarks (PDL) over distance, by landmark and clothing type."""

from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.evaluation.normalized_error import counted, pdl_curve
from fashion_ops.taxonomy.alignment import CLOTHES_TYPES
from papers.alignment import MEAN_OF_TYPE, identify
from papers.config import TableConfig
from papers.dfa import paper
from papers.dfa.curves import draw_curves
from papers.dfa.runs import STAGE_1, STAGE_3, Runs, describe, open_runs
from papers.table import Column, Table

METHODS = {
    MEAN_OF_TYPE: MEAN_OF_TYPE,
    "IDPR": "IDPR",
    "DeepPose (stage 1)": "DeepPose (stage 1)",
    "DeepPose (stage 3)": "DeepPose (stage 3)",
    "DFA (stage 1)": STAGE_1,
    "DFA (stage 3)": STAGE_3,
}
PIXELS = tuple(range(5, 51, 5))


def run(config: TableConfig) -> Table:
    """PDL at 5 to 50 px of the 224-px frame; the first seed."""
    runs = open_runs(config, config.params.dfa_stage.source)[:1]
    curves = {name: _curves(runs[0], row) for name, row in METHODS.items()}
    table = pd.DataFrame(
        {
            f"{subject}: {name}": curve
            for name, by_subject in curves.items()
            for subject, curve in by_subject.items()
        },
        index=[f"{t} px" for t in PIXELS],
    ).T
    table.index.name = "landmark or type: method"
    data_name, is_papers_data = identify(runs[0].catalog)

    return Table(
        name="figure5",
        title="DFA Figure 5: detected landmarks (PDL) over distance, by landmark and clothing type",
        columns=tuple(Column(f"{t} px", 1) for t in PIXELS),
        rows=table,
        ours=describe(runs, data_name),
        theirs=paper.FLD,
        same_data=is_papers_data,
        notes=(
            "PDL in percent: visible landmarks within so many pixels of a 224-px crop. The paper's "
            "curves are an image; no numbers are printed beside them.",
            f"`{MEAN_OF_TYPE}` and IDPR's tree know a garment's type, DFA and DeepPose do not. All "
            "methods have equal steps (Table 2).",
        ),
    )


def draw(table: Table, path: Path) -> None:
    """Draw one panel a landmark and a clothing type."""
    curves: dict[str, dict[str, np.ndarray]] = {}
    for name, values in table.rows.iterrows():
        subject, _, method = str(name).partition(": ")
        curves.setdefault(method, {})[subject] = values.to_numpy(float)
    draw_curves(path, PIXELS, curves, table.title)


def _curves(runs: Runs, name: str) -> dict[str, np.ndarray]:
    """PDL at ``PIXELS`` of one method, by landmark name and clothing type."""
    distances = runs.errors(name)
    rows = runs.test.rows
    mask = counted(rows.visibility, "visible")
    out = {}
    for k, point in enumerate(runs.test.points.point_names):
        out[point.replace("_", " ")] = _percent(distances[:, [k]], mask[:, [k]])
    for number, kind in enumerate(CLOTHES_TYPES, 1):
        of_type = rows.clothes_type == number
        if of_type.any():
            out[f"{kind} body"] = _percent(distances[of_type], mask[of_type])
    return out


def _percent(distances: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.array([score.micro for score in pdl_curve(distances, mask, PIXELS)])
