"""Landmark AP computed by stock pycocotools, the official evaluator.

``oks`` gives the same numbers much faster, but only for valid files. pycocotools also answers for many
invalid ones (``coco_files``), and then its numbers are the official ones, whatever they mean.
"""

import contextlib
import io
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fashion_ops.evaluation.oks import MAX_DETECTIONS, STATS
from fashion_ops.taxonomy import sigmas


def official_scores(
    annotations: Any, results: Any
) -> tuple[dict[str, float], dict[int | float | str, float]]:
    """Score COCO results against a COCO annotation file, both as parsed from JSON; they are changed.

    Returns:
        The ten numbers by name, and the AP of each category id.

    Raises:
        Exception: whatever pycocotools raises on files that it can't read.
    """
    truth: Any = COCO()  # its type stubs are too narrow
    truth.dataset = annotations
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        return evaluate_official(truth, truth.loadRes(results))


def evaluate_official(
    truth: COCO, found: COCO
) -> tuple[dict[str, float], dict[int | float | str, float]]:
    """Run pycocotools on two indexed data sets; returns what ``official_scores`` returns."""
    evaluator: Any = COCOeval(truth, found, "keypoints")
    evaluator.params.kpt_oks_sigmas = sigmas()
    evaluator.params.maxDets = [MAX_DETECTIONS]
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    precision: np.ndarray = evaluator.eval["precision"]  # (thresholds, recalls, categories, areas, 1)
    per_category = {}
    for k, category_id in enumerate(np.asarray(evaluator.params.catIds).tolist()):
        values = precision[:, :, k, 0, 0]
        known = values[values > -1]
        per_category[category_id] = float(known.mean()) if len(known) else -1.0
    stats = np.asarray(evaluator.stats, float)
    return dict(zip(STATS, stats.tolist(), strict=True)), per_category
