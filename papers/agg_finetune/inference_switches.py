"""Table ``inference_switches``: can inference explain why a plain network beats the winner?

With ground-truth boxes svip-lab report 0.702 for a plain network of 294 channels, the winner 0.652
(Table 2). Each row switches one of their differences at test on the workspace's models;
``training_switches`` does so for training. The base is the winner's row: scores over all channels, one
view, the universal landmarker.
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
from papers import landmarker_scores as scoring
from papers.agg_finetune import paper
from papers.config import TableConfig
from papers.evaluation_set import EvaluationSet, load_evaluation_set
from papers.table import Column, PaperColumn, Table

OKS_NMS = 0.9  # svip-lab's
TRUE_BOXES, DETECTED = "AP, true boxes", "AP, own boxes"
COLUMNS = (Column(TRUE_BOXES, gain=True), Column(DETECTED, gain=True))
BASE = "winner's row"


@dataclass(frozen=True)
class Switches:
    """What a row switches at inference.

    Attributes:
        reading: keyword arguments of ``LandmarkPredictor.read_as``.
        score: channels whose peaks make a garment's score, ``all`` or ``own``.
        oks_nms: OKS threshold of the non-maximum suppression; None switches it off.
        finetuned: whether the finetuned models predict.
    """

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


def run(config: TableConfig) -> Table:
    """Evaluate each switch on ground-truth boxes and on those of ``evaluate.boxes``."""
    evaluated, ws = load_evaluation_set(config), config.ws
    universal = scoring.load_landmarker(ws.landmarker, config.device, flip_test=False)
    tuned = {
        name: scoring.load_landmarker(ws.finetuned(name), config.device, flip_test=False)
        for name in CATEGORY_NAMES
    }
    boxes = both_boxes(config, evaluated)
    values = {
        label: [landmark_ap((universal, tuned), row, config, evaluated, one) for one in boxes]
        for label, row in ROWS.items()
    }
    spec = universal.spec
    return switches_table(
        "inference_switches",
        "Plain network against winner: switches at test",
        values,
        BASE,
        f"{evaluated.name}; {spec['backbone']} {spec['crop'][0]}x{spec['crop'][1]}, grouping "
        f"{spec['grouping']}",
        evaluated.is_papers_data,
        "Each row switches one thing of the first; the last row has them all (the mask changes nothing "
        "where only the own channels score).",
    )


def both_boxes(config: TableConfig, evaluated: EvaluationSet) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ground-truth boxes, and the detections of ``evaluate.boxes``, with box and category."""
    boxes = config.params.evaluate.boxes
    source = open_boxes(boxes, config.ws, evaluated.catalog, evaluated.images, config.device)
    return evaluated.garments, scoring.detect_boxes(config, evaluated, source)[0]


def landmark_ap(
    models: tuple[LandmarkPredictor, Mapping[str, LandmarkPredictor]],
    row: Switches,
    config: TableConfig,
    evaluated: EvaluationSet,
    boxes: pd.DataFrame,
) -> float:
    """Landmark AP of one row on boxes; NaN where there are no boxes.

    Args:
        models: the universal landmarker, and the finetuned ones by category name.
        row: its switches.
        config: options of the table.
        evaluated: the images.
        boxes: garments or detections.
    """
    universal = models[0].with_decoding(**row.reading)
    tuned = {n: m.with_decoding(**row.reading) for n, m in models[1].items()} if row.finetuned else {}
    tables = scoring.predict_landmarks(universal, tuned, evaluated, boxes, "landmarks", row.score)
    if not tables:
        return np.nan
    predictions = oks_nms(tables["finetuned" if row.finetuned else "universal"], row.oks_nms)
    return scoring.landmark_scores(config, evaluated, predictions).stats["AP"]


def switches_table(
    name: str,
    title: str,
    values: Mapping[str, list[float]],
    winner: str,
    ours: str,
    is_papers_data: bool,
    *notes: str,
) -> Table:
    """The common form of both tables of switches: AP on ground-truth and on detected boxes.

    Args:
        name: of the table.
        title: of the table.
        values: both APs by row label.
        winner: label of the row that stands beside the winner's numbers.
        ours: the evaluation set and the networks, in words.
        is_papers_data: whether the evaluation set is the paper's.
        notes: further notes.
    """
    rows = pd.DataFrame.from_dict(dict(values), orient="index", columns=[TRUE_BOXES, DETECTED])
    printed = {
        TRUE_BOXES: paper.TABLE_2["ground truth, 81"][1],
        DETECTED: paper.TABLE_2["HTC, 81"][1],
    }
    return Table(
        name=name,
        title=title,
        columns=COLUMNS,
        rows=rows.rename_axis("switch"),
        ours=ours,
        theirs=f"{paper.DATA}; the winner's, HRNet-w48 384x512, 81 channels",
        same_data=is_papers_data,
        paper=tuple(PaperColumn(column, {winner: ap}) for column, ap in printed.items()),
        notes=(
            f"svip-lab's plain network: {paper.PLAIN[0]} on ground-truth boxes, {paper.PLAIN[1]} on "
            "its detector's; 294 channels masked by category in training and at test, balanced "
            "sampling, 210 epochs, flips in training and at test, OKS-NMS at 0.9.",
            *notes,
        ),
    )
