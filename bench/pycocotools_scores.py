"""Landmark AP from stock pycocotools, the reference that ``fashion_ops.evaluation.oks`` must equal.

The official DeepFashion2 evaluator is a fork of pycocotools whose effect is the 294 sigmas; stock
pycocotools with these sigmas gives the same numbers (``tests/evaluation``).
"""

import contextlib
import copy
import io
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fashion_ops.evaluation.oks import MAX_DETECTIONS, STATS, Scores
from fashion_ops.taxonomy import sigmas


def reference_scores(annotations: dict[str, Any], results: list[dict[str, Any]]) -> Scores:
    """Landmark AP of COCO results against a COCO annotation dict, both as parsed from JSON."""
    truth: Any = COCO()  # its type stubs are too narrow
    truth.dataset = copy.deepcopy(annotations)
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found = truth.loadRes(copy.deepcopy(results)) if results else _no_results(truth)
    return evaluate_reference(truth, found)


def evaluate_reference(truth: COCO, found: COCO) -> Scores:
    """Run pycocotools on two indexed data sets."""
    evaluator = COCOeval(truth, found, "keypoints")
    evaluator.params.kpt_oks_sigmas = sigmas()
    evaluator.params.maxDets = [MAX_DETECTIONS]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    precision: np.ndarray = evaluator.eval["precision"]  # (thresholds, recalls, categories, areas, 1)
    per_category = {}
    for k, category_id in enumerate(evaluator.params.catIds):
        values = precision[:, :, k, 0, 0]
        per_category[int(category_id)] = (
            float(values[values > -1].mean()) if (values > -1).any() else -1.0
        )
    stats = np.asarray(evaluator.stats, float)
    return Scores(dict(zip(STATS, stats.tolist(), strict=True)), per_category)


def _no_results(truth: COCO) -> COCO:
    """An empty result set, which ``loadRes`` of pycocotools rejects."""
    found: Any = COCO()
    found.dataset = {**truth.dataset, "annotations": []}
    found.createIndex()
    return found
