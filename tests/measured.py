"""A stand-in for the gate's measurements."""

from typing import Any

from fashion_ops.evaluation.bootstrap import Comparison, Difference
from fashion_ops.params import Params
from fashion_ops.registry import client as registry
from fashion_ops.registry.comparing import Measurements
from fashion_ops.registry.gate import Facts
from fashion_ops.taxonomy import CATEGORY_NAMES, category
from fashion_ops.workspace import Workspace


def measured(
    params: Params, ws: Workspace, challenger: Any, champion: Any, again: bool
) -> Measurements:
    """What ``measure`` would return if AP were all that counts."""
    new = registry.metrics_of(challenger)
    old = registry.metrics_of(champion) if champion else None

    def gap(a: float, b: float) -> Difference:
        return Difference(a, b, a - b, a - b)

    def comparison(key: str) -> Comparison:
        assert old is not None
        per_category = {
            category(c).id: gap(
                row["landmark_ap"]["refined"], old["per_category"][c]["landmark_ap"]["refined"]
            )
            for c, row in new["per_category"].items()
        }
        return Comparison(gap(new[key]["refined"], old[key]["refined"]), per_category)

    keys = {"truth_boxes": "landmark_ap", "own_boxes": "landmark_ap_own_boxes"}
    comparisons = {kind: comparison(key) for kind, key in keys.items()} if old else None
    garments = {category(c).id: 100 for c in CATEGORY_NAMES}
    facts = Facts(
        new, comparisons, garments, (1.0, 1.0), (1.0, 1.0), {"a_check": ""}, latency_ratio=1.0
    )
    return Measurements(facts, 1, False, "digest")
