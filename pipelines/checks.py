"""Asset checks: what must hold of an output before anybody builds on it. Tables and JSON only."""

import json
from typing import Any

import dagster as dg
import pandas as pd

from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace
from pipelines.home import House


@dg.asset_check(asset="ingest", blocking=True)
def catalog_adds_up(house: House) -> dg.AssetCheckResult:
    """Garments lie on pictures of the catalog and in their split; refusals stay below the limit."""
    ws, limit = house.workspace, house.params().ingest.max_quarantined
    images = pd.read_parquet(ws.catalog / "images.parquet", columns=["image_id", "split"])
    garments = pd.read_parquet(
        ws.catalog / "garments.parquet", columns=["garment_id", "image_id", "split"]
    )
    refused = sum(pd.read_parquet(ws.catalog / "quarantine.parquet")["num_records"].tolist())
    joined = garments.merge(images, on="image_id", how="left", suffixes=("", "_image"))
    strays = (joined["split"] != joined["split_image"]).tolist().count(True)
    total = len(garments) + refused
    return dg.AssetCheckResult(
        passed=strays == 0
        and bool(garments["garment_id"].is_unique)
        and total > 0
        and refused <= limit * total,
        metadata={
            "pictures": len(images),
            "records": total,
            "garments": len(garments),
            "quarantined": refused,
            "garments without their picture": strays,
        },
    )


@dg.asset_check(asset="evaluate")
def every_category_trained(house: House) -> dg.AssetCheckResult:
    """All 13 categories have training garments, a finetuned and a refined model, and a judgement."""
    ws = house.workspace
    judged = _metrics(ws)["per_category"]
    missing = [
        name
        for name in CATEGORY_NAMES
        if judged.get(name, {}).get("train", 0) == 0
        or not all((f(name) / "model.json").is_file() for f in (ws.finetuned, ws.refined))
    ]
    return dg.AssetCheckResult(passed=not missing, metadata={"missing": ", ".join(missing) or "none"})


@dg.asset_check(asset="evaluate", blocking=True)
def beats_mean_shape(house: House) -> dg.AssetCheckResult:
    """Refined landmarks beat the mean shape by ``evaluate.min_gain``, or nothing is registered."""
    ap = _metrics(house.workspace)["landmark_ap"]
    wanted = house.params().evaluate.min_gain
    return dg.AssetCheckResult(
        passed=ap["refined"] - ap["mean_shape"] > wanted,
        metadata={
            "refined": ap["refined"],
            "mean_shape": ap["mean_shape"],
            "evaluate.min_gain": wanted,
        },
    )


def _metrics(ws: Workspace) -> dict[str, Any]:
    return json.loads((ws.evaluation / "metrics.json").read_text(encoding="utf-8"))


CHECKS = [catalog_adds_up, every_category_trained, beats_mean_shape]
