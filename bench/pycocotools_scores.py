"""Landmark AP from stock pycocotools, the reference that ``fashion_ops.evaluation.oks`` must equal.

The official DeepFashion2 evaluator is a fork of pycocotools whose effect is the 294 sigmas; stock
pycocotools with these sigmas gives the same numbers (``tests/evaluation``).
"""

import contextlib
import copy
import io
from typing import Any

from pycocotools.coco import COCO

from fashion_ops.evaluation.official import evaluate_official
from fashion_ops.evaluation.oks import Scores


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
    stats, per_category = evaluate_official(truth, found)
    return Scores(stats, {int(c): ap for c, ap in per_category.items()})


def _no_results(truth: COCO) -> COCO:
    """An empty result set, which ``loadRes`` of pycocotools rejects."""
    found: Any = COCO()
    found.dataset = {**truth.dataset, "annotations": []}
    found.createIndex()
    return found
