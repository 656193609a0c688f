"""Asset checks: what must hold of an output before anybody builds on it. Tables and JSON only."""

import json
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq

from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace
from pipelines.home import House


@dg.asset_check(asset="ingest", blocking=True)
def catalog_adds_up(house: House) -> dg.AssetCheckResult:
    """Every garment has an id of its own and lies on a picture of the catalog, in its split."""
    ws = house.workspace
    images = _images(ws, "image_id", "split")
    garments = pd.read_parquet(
        ws.catalog / "garments.parquet", columns=["garment_id", "image_id", "split"]
    )
    joined = garments.merge(images, on="image_id", how="left", suffixes=("", "_image"))
    strays = (joined["split"] != joined["split_image"]).tolist().count(True)
    twice = len(garments) - garments["garment_id"].nunique()
    empty = len(images) - garments["image_id"].nunique()
    return dg.AssetCheckResult(
        passed=strays == twice == empty == 0 and len(garments) > 0,
        metadata={
            "pictures": len(images),
            "garments": len(garments),
            "garments without their picture": strays,
            "garment ids given twice": twice,
            "pictures without a garment": empty,
        },
    )


@dg.asset_check(asset="ingest", blocking=True)
def quarantine_share(house: House) -> dg.AssetCheckResult:
    """Of all records that came in, no more than ``ingest.max_quarantined`` were refused."""
    ws, limit = house.workspace, house.params().ingest.max_quarantined
    rows = pd.read_parquet(ws.catalog / "quarantine.parquet", columns=["num_records"])
    refused = int(rows["num_records"].sum())
    total = refused + pq.read_metadata(ws.catalog / "garments.parquet").num_rows
    return dg.AssetCheckResult(
        passed=total > 0 and refused <= limit * total,
        metadata={"records": total, "quarantined": refused, "ingest.max_quarantined": limit},
    )


@dg.asset_check(asset="ingest", blocking=True)
def splits_do_not_leak(house: House) -> dg.AssetCheckResult:
    """No picture is in two splits, and no shop/user pair where ids of pairs are ``global``."""
    ws, ids = house.workspace, house.params().ingest.pair_ids
    images = _images(ws, "split", "file_name", "sha256", "pair_id")
    pictures = _in_two_splits(images[images["sha256"] != ""], "sha256")
    paired = images[images["pair_id"] >= 0] if ids == "global" else images.head(0)
    pairs = _in_two_splits(paired, "pair_id")
    unknown = int((images["sha256"] == "").sum())
    said = {"pictures in two splits": len(pictures), "pairs in two splits": len(pairs)}
    notes = {"pictures left in place, without a hash": unknown, "ingest.pair_ids": ids}
    if len(found := [*pictures, *pairs]):
        notes["for example"] = ", ".join(found[:5])
    return dg.AssetCheckResult(passed=not found, metadata=said | notes)


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


@dg.asset_check(asset="register", blocking=True)
def registered_model_predicts_the_same(house: House) -> dg.AssetCheckResult:
    """The challenger loads from the registry and gives the evaluated predictions bit for bit."""
    from fashion_ops import registry
    from fashion_ops.stages.reproduction import differences

    params = house.params()
    source = f"models:/{params.registration.model}@{registry.CHALLENGER}"
    found = differences(registry.fetch_bundle(source), params, house.workspace)
    return dg.AssetCheckResult(passed=not found, metadata={"model": source, **found})


def _images(ws: Workspace, *columns: str) -> pd.DataFrame:
    return pd.read_parquet(ws.catalog / "images.parquet", columns=list(columns))


def _in_two_splits(images: pd.DataFrame, key: str) -> list[str]:
    """One picture's name for each value of ``key`` that more than one split has."""
    splits = images.groupby(key)["split"].nunique()
    found = images[images[key].isin(splits.index[splits > 1])]
    return found.drop_duplicates(key)["file_name"].tolist()


def _metrics(ws: Workspace) -> dict[str, Any]:
    return json.loads((ws.evaluation / "metrics.json").read_text(encoding="utf-8"))


CHECKS = [
    catalog_adds_up,
    quarantine_share,
    splits_do_not_leak,
    every_category_trained,
    beats_mean_shape,
    registered_model_predicts_the_same,
]
