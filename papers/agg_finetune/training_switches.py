"""Table ``puzzle_training``: the other half of ``puzzle``, what the networks differ in before the test.

A training job of five universal landmarkers: svip-lab's switches one at a time on a plain network of
294 channels, and the winner's 81. All are read as ``params.yaml`` says, with own-channel scores.
"""

from typing import Any

from fashion_ops.params import Params
from papers.agg_finetune import runs, scoring
from papers.agg_finetune.inference_switches import (
    Switches,
    both_boxes,
    landmark_ap,
    puzzle_table,
)
from papers.config import Request
from papers.evaluation_set import load_judged
from papers.table import Table

LONGER = 3  # svip-lab's 210 epochs are 17.5 times the winner's 12
WINNER = "81 channels"
ROWS: dict[str, dict[str, Any]] = {
    "294 channels": {},
    WINNER: {"grouping": "agg81"},
    "channel mask in training": {"channel_mask": True},
    "balanced sampling": {"balanced_sampling": True},
    f"schedule {LONGER} times as long": {"longer": LONGER},
}


def run(request: Request) -> Table:
    """Train what is missing and judge each row on both kinds of boxes."""
    judged = load_judged(request)
    boxes = both_boxes(request, judged)
    values = {}
    for label, switches in ROWS.items():
        params = variant(runs.shorter(request), **switches)
        model = scoring.load(runs.universal(params, request).landmarker)
        row = Switches(score="own")
        values[label] = [landmark_ap(model, {}, row, request, judged, own) for own in boxes]
    own = runs.shorter(request).train_landmarker
    return puzzle_table(
        "puzzle_training",
        "Plain network against winner: switches in training",
        values,
        WINNER,
        judged,
        f"{own.backbone} {own.crop[0]}x{own.crop[1]}, {own.epochs} epochs, universal",
        "The mask can't do anything in training: no loss counts a map without a label. What it does "
        "at test is in `puzzle`.",
    )


def variant(params: Params, grouping: str = "none", longer: int = 1, **switches: bool) -> Params:
    """The parameters of one row."""
    training = {"epochs": longer * params.train_landmarker.epochs, **switches}
    if longer > 1:
        training |= {"lr_steps": None}
    return runs.changed(params, aggregate={"grouping": grouping}, train_landmarker=training)
