"""The same numbers from stock pycocotools: what ``oks`` is held against, and an independent check.

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
    truth: Any = COCO()  # typed more narrowly than it behaves
    truth.dataset = copy.deepcopy(annotations)
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found = truth.loadRes(copy.deepcopy(results)) if results else _nothing(truth)
    return evaluate_reference(truth, found)


def evaluate_reference(truth: COCO, found: COCO) -> Scores:
    """Run pycocotools on two indexed data sets."""
    judge = COCOeval(truth, found, "keypoints")
    judge.params.kpt_oks_sigmas = sigmas()
    judge.params.maxDets = [MAX_DETECTIONS]
    with contextlib.redirect_stdout(io.StringIO()):
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    precision: np.ndarray = judge.eval["precision"]  # (thresholds, recalls, categories, areas, 1)
    per_category = {}
    for k, category_id in enumerate(judge.params.catIds):
        values = precision[:, :, k, 0, 0]
        per_category[int(category_id)] = (
            float(values[values > -1].mean()) if (values > -1).any() else -1.0
        )
    stats = np.asarray(judge.stats, float)
    return Scores(dict(zip(STATS, stats.tolist(), strict=True)), per_category)


def _nothing(truth: COCO) -> COCO:
    """No results at all, which pycocotools' own loader can't take."""
    found: Any = COCO()
    found.dataset = {**truth.dataset, "annotations": []}
    found.createIndex()
    return found
