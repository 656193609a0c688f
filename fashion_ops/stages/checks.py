"""What must hold before anybody builds on an output, as plain functions; not a step itself.

Dagster shows each as an asset check; ``register`` records those that block with the version, and the
gate of ``promote`` wants all of them passed, whoever drives. Tables and JSON only.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fashion_ops.params import Params
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace


@dataclass(frozen=True)
class Outcome:
    """Whether a check holds, and the numbers that say so."""

    passed: bool
    facts: dict[str, Any]


@dataclass(frozen=True)
class Check:
    """One check of one step's output. ``blocking``: nothing is made from what fails it."""

    step: str
    blocking: bool
    run: Callable[[Params, Workspace], Outcome]

    @property
    def name(self) -> str:
        return self.run.__name__


def catalog_adds_up(params: Params, ws: Workspace) -> Outcome:
    """Garments lie on pictures of the catalog and in their split; refusals stay below the limit."""
    limit = params.ingest.max_quarantined
    images = pd.read_parquet(ws.catalog / "images.parquet", columns=["image_id", "split"])
    garments = pd.read_parquet(
        ws.catalog / "garments.parquet", columns=["garment_id", "image_id", "split"]
    )
    refused = sum(pd.read_parquet(ws.catalog / "quarantine.parquet")["num_records"].tolist())
    joined = garments.merge(images, on="image_id", how="left", suffixes=("", "_image"))
    strays = (joined["split"] != joined["split_image"]).tolist().count(True)
    total = len(garments) + refused
    sound = strays == 0 and bool(garments["garment_id"].is_unique) and total > 0
    return Outcome(
        sound and refused <= limit * total,
        {
            "pictures": len(images),
            "records": total,
            "garments": len(garments),
            "quarantined": refused,
            "garments without their picture": strays,
        },
    )


def every_category_trained(params: Params, ws: Workspace) -> Outcome:
    """All 13 categories have training garments, a finetuned and a refined model, and a judgement."""
    judged = _metrics(ws)["per_category"]
    missing = [
        name
        for name in CATEGORY_NAMES
        if judged.get(name, {}).get("train", 0) == 0
        or not all((f(name) / "model.json").is_file() for f in (ws.finetuned, ws.refined))
    ]
    return Outcome(not missing, {"missing": ", ".join(missing) or "none"})


def beats_mean_shape(params: Params, ws: Workspace) -> Outcome:
    """Refined landmarks beat the mean shape by ``evaluate.min_gain``, or nothing is registered."""
    ap, wanted = _metrics(ws)["landmark_ap"], params.evaluate.min_gain
    return Outcome(
        ap["refined"] - ap["mean_shape"] > wanted,
        {"refined": ap["refined"], "mean_shape": ap["mean_shape"], "evaluate.min_gain": wanted},
    )


CHECKS = (
    Check("ingest", True, catalog_adds_up),
    Check("evaluate", False, every_category_trained),
    Check("evaluate", True, beats_mean_shape),
)


def blocking_checks(params: Params, ws: Workspace) -> dict[str, str]:
    """Each blocking check by name, with its numbers where it fails and "" where it holds."""
    found = {check.name: check.run(params, ws) for check in CHECKS if check.blocking}
    return {
        name: "" if outcome.passed else ", ".join(f"{k} {v}" for k, v in outcome.facts.items()) or "no"
        for name, outcome in found.items()
    }


def _metrics(ws: Workspace) -> dict[str, Any]:
    return json.loads((ws.evaluation / "metrics.json").read_text(encoding="utf-8"))
