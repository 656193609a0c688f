"""Figure 9: DFA's stages beside training garments of the same pseudo-label, and DeepPose's patches.

(a) DFA looks at the whole garment in every stage; beside each result stand the training garments whose
pseudo-labels are nearest to the one that the stage predicts. (b) DeepPose looks at a patch around each
landmark of the stage before. As in the paper only the sleeves are drawn; for a garment without sleeves
its first two landmarks.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fashion_ops.methods.alignment.deeppose.model import cut_patches
from fashion_ops.methods.alignment.dfa.inference import Estimate
from papers.alignment import identify
from papers.config import TableConfig
from papers.dfa import paper
from papers.dfa.runs import STAGE_1, STAGE_2, STAGE_3, TEST, Runs, describe, open_runs
from papers.pictures import TILE, crop_tile, landmark_tile, spread, write_sheet
from papers.table import Column, Table

STAGES = {"1": STAGE_1, "2": STAGE_2, "3": STAGE_3}
DEEPPOSE = {n: f"DeepPose (stage {n})" for n in STAGES}
GARMENTS, SIMILAR = 3, 3
TITLE = "DFA Figure 9: stages of DFA and of DeepPose"


def run(config: TableConfig) -> Table:
    """Draw garments spread over the test split; the first seed."""
    runs = open_runs(config, config.params.dfa_stage.source)[:1]
    chosen = spread(len(runs[0].test), GARMENTS, 0.25)
    estimates = {n: runs[0].row(row)[1] for n, row in STAGES.items()}
    rows = {}
    for n, row in STAGES.items():
        for method, name in (("DFA", row), ("DeepPose", DEEPPOSE[n])):
            rows[f"{method}, stage {n}"] = [float(runs[0].errors(name)[i].mean()) for i in chosen]
    garments = [f"garment {i}" for i in runs[0].test.rows.garment_id[chosen]]
    data_name, is_papers_data = identify(runs[0].catalog)
    return Table(
        name="figure9",
        title=TITLE,
        columns=tuple(Column(name, drawn=False) for name in garments),
        rows=pd.DataFrame.from_dict(rows, orient="index", columns=garments).rename_axis("method"),
        ours=describe(runs, data_name),
        theirs=paper.FLD,
        same_data=is_papers_data,
        notes=(
            f"Mean error of the drawn garments over all landmarks. Similar: the {SIMILAR} training "
            "garments with the nearest pseudo-labels of the stage.",
        ),
        picture=partial(_draw, runs=runs[0], chosen=chosen, estimates=estimates),
    )


def _draw(
    path: Path, runs: Runs, chosen: np.ndarray, estimates: dict[str, dict[str, Estimate]]
) -> None:
    test, train, lines = runs.test, runs.train, []
    for i in chosen:
        pair = _pair(runs, i)
        shown = np.zeros(len(test.points.point_names), bool)
        shown[pair] = True
        for n, known in estimates.items():
            own = landmark_tile(test.crops, i, known[TEST].positions[i], test.points, shown)
            apart = ((known["train"].labels - known[TEST].labels[i]) ** 2).sum(-1)
            nearest = np.argsort(apart, kind="stable")[:SIMILAR]
            similar = [crop_tile(train.crops, int(j)) for j in nearest]
            positions = runs.positions(DEEPPOSE[n])[i]
            deep = landmark_tile(test.crops, i, positions, test.points, shown)
            patches = [_blank()] * len(pair) if n == "1" else _patches(runs, i, n, pair)
            lines.append([own, *similar, deep, *patches])
    heads = ["(a) DFA", *["similar label"] * SIMILAR, "(b) DeepPose", "its patch", "its patch"]
    write_sheet(path, f"{TITLE}; lines: stages 1 to 3 of each garment", heads, lines)


def _pair(runs: Runs, row: int) -> np.ndarray:
    """The two landmarks that are drawn."""
    own = runs.test.shapes.slots[row]
    names = runs.test.points.point_names
    sleeves = [k for k in np.flatnonzero(own) if "sleeve" in names[k]]
    return np.array((sleeves if len(sleeves) >= 2 else list(np.flatnonzero(own)))[:2])


def _patches(runs: Runs, row: int, stage: str, pair: np.ndarray) -> list[np.ndarray]:
    """What DeepPose's stage sees: patches around the positions of the stage before."""
    before = runs.positions(DEEPPOSE[str(int(stage) - 1)])[row, pair]
    crop = runs.test.crops.take(np.array([row])).float()
    centers = torch.from_numpy(np.ascontiguousarray(before, np.float32))
    cut = cut_patches(crop.expand(len(pair), -1, -1, -1), centers)
    cut = torch.nn.functional.interpolate(cut, (TILE, TILE), mode="nearest")
    return list(cut.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())


def _blank() -> np.ndarray:
    return np.full((TILE, TILE, 3), 235, np.uint8)
