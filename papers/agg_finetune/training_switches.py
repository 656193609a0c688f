"""Table ``training_switches``: the counterpart of ``inference_switches``, differences in training.

Trains five universal landmarkers: a plain network of 294 channels with svip-lab's switches one at a
time, and the winner's 81 channels. Inference is that of ``params.yaml`` with own-channel scores.
"""

from typing import Any

from fashion_ops.params import Params
from papers import landmarker_runs as runs
from papers import landmarker_scores as scoring
from papers.agg_finetune.inference_switches import (
    Switches,
    both_boxes,
    landmark_ap,
    switches_table,
)
from papers.config import TableConfig
from papers.evaluation_set import load_evaluation_set
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


def run(config: TableConfig) -> Table:
    """Train what is missing and evaluate each row on both kinds of boxes."""
    evaluated = load_evaluation_set(config)
    boxes = both_boxes(config, evaluated)
    values = {}
    for label, switches in ROWS.items():
        params = variant(runs.with_epochs(config), **switches)
        model = scoring.load_landmarker(runs.universal(params, config).landmarker, config.device)
        row = Switches(score="own")
        values[label] = [landmark_ap((model, {}), row, config, evaluated, one) for one in boxes]
    training = runs.with_epochs(config).train_landmarker
    return switches_table(
        "training_switches",
        "Plain network against winner: switches in training",
        values,
        WINNER,
        f"{evaluated.name}; {training.backbone} {training.crop[0]}x{training.crop[1]}, "
        f"{training.epochs} epochs, universal",
        evaluated.is_papers_data,
        "The mask can't do anything in training: no loss counts a map without a label. What it does "
        "at test is in `inference_switches`.",
    )


def variant(params: Params, grouping: str = "none", longer: int = 1, **switches: bool) -> Params:
    """The parameters that a row's landmarker is trained with.

    Args:
        params: of the base row.
        grouping: of the landmarks.
        longer: factor of the epochs; from 2 on the default schedule replaces ``lr_steps``.
        switches: keys of ``train_landmarker``.
    """
    training = {"epochs": longer * params.train_landmarker.epochs, **switches}
    if longer > 1:
        training |= {"lr_steps": None}
    return runs.with_changes(params, aggregate={"grouping": grouping}, train_landmarker=training)
