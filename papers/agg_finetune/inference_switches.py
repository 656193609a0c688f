"""Table ``puzzle``: what of the reading may explain that a plain network beats the challenge's winner.

With ground-truth boxes svip-lab report 0.702 for a plain network of 294 channels, the winner 0.652
(Table 2). What they differ in at test is switched here one at a time on the workspace's own models;
``puzzle_training`` has what they differ in before. The base is the winner's row: scores over all
channels, one look, the universal landmarker.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from fashion_ops.evaluation.oks_nms import oks_nms
from fashion_ops.inference.box_sources import open_boxes
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.taxonomy import CATEGORY_NAMES
from papers.agg_finetune import paper, scoring
from papers.config import Request
from papers.evaluation_set import Judged, load_judged
from papers.table import Column, PaperColumn, Table

OKS_NMS = 0.9  # svip-lab's
TRUTH, OWN = "AP, true boxes", "AP, own boxes"
COLUMNS = (Column(TRUTH, gain=True), Column(OWN, gain=True))
BASE = "winner's row"


@dataclass(frozen=True)
class Switches:
    """How landmarks are read, scored and chosen among; ``finetuned``: by which models."""

    reading: Mapping[str, Any] = field(default_factory=dict)
    score: str = "all"
    oks_nms: float | None = None
    finetuned: bool = False


ROWS = {
    BASE: Switches(),
    "own-channel scores": Switches(score="own"),
    "channel mask at test": Switches({"channel_mask": True}),
    "OKS-NMS": Switches(oks_nms=OKS_NMS),
    "hflip test": Switches({"flip_test": True}),
    "finetuned": Switches(finetuned=True),
    "all of these": Switches({"flip_test": True}, "own", OKS_NMS, finetuned=True),
}


def run(request: Request) -> Table:
    """Judge each switch on ground-truth boxes and on those of ``evaluate.boxes``."""
    judged, ws = load_judged(request), request.ws
    universal = scoring.load(ws.landmarker, flip_test=False)
    tuned = {name: scoring.load(ws.finetuned(name), flip_test=False) for name in CATEGORY_NAMES}
    boxes = both_boxes(request, judged)
    values = {
        label: [landmark_ap(universal, tuned, row, request, judged, own) for own in boxes]
        for label, row in ROWS.items()
    }
    spec = universal.spec
    return puzzle_table(
        "puzzle",
        "Plain network against winner: switches at test",
        values,
        BASE,
        judged,
        f"{spec['backbone']} {spec['crop'][0]}x{spec['crop'][1]}, grouping {spec['grouping']}",
        "Each row switches one thing of the first; the last row has them all (the mask changes nothing "
        "where only the own channels score).",
    )


def both_boxes(request: Request, judged: Judged) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ground truth's boxes, and those that ``evaluate.boxes`` names."""
    source = open_boxes(request.params.evaluate.boxes, request.ws, judged.catalog, judged.images)
    return judged.garments, scoring.find(request, judged, source)[0]


def landmark_ap(
    universal: LandmarkPredictor,
    finetuned: Mapping[str, LandmarkPredictor],
    row: Switches,
    request: Request,
    judged: Judged,
    boxes: pd.DataFrame,
) -> float:
    """AP of one row on boxes; NaN where there are no boxes."""
    models = [universal.with_decoding(**row.reading)]
    tuned = {n: m.with_decoding(**row.reading) for n, m in finetuned.items()} if row.finetuned else {}
    made = scoring.landmarks(models[0], tuned, judged, boxes, "landmarks", row.score)
    if not made:
        return np.nan
    table = made["finetuned" if row.finetuned else "universal"]
    return scoring.score(request, judged, oks_nms(table, row.oks_nms)).stats["AP"]


def puzzle_table(
    name: str,
    title: str,
    values: Mapping[str, list[float]],
    winner: str,
    judged: Judged,
    network: str,
    *notes: str,
) -> Table:
    """Both puzzle tables: AP on both kinds of boxes, the winner's beside the row ``winner``."""
    rows = pd.DataFrame.from_dict(dict(values), orient="index", columns=[TRUTH, OWN])
    printed = {TRUTH: paper.TABLE_2["ground truth, 81"][1], OWN: paper.TABLE_2["HTC, 81"][1]}
    return Table(
        name=name,
        title=title,
        columns=COLUMNS,
        rows=rows.rename_axis("switch"),
        ours=f"{judged.name}; {network}",
        theirs=f"{paper.DATA}; the winner's, HRNet-w48 384x512, 81 channels",
        same_data=judged.same,
        paper=tuple(PaperColumn(column, {winner: ap}) for column, ap in printed.items()),
        notes=(
            f"svip-lab's plain network: {paper.PLAIN[0]} on ground-truth boxes, {paper.PLAIN[1]} on "
            "its detector's; 294 channels masked by category in training and at test, balanced "
            "sampling, 210 epochs, flips in training and at test, OKS-NMS at 0.9.",
            *notes,
        ),
    )
