"""What must hold before anybody builds on an output, as plain functions; not a step itself.

Dagster shows each as an asset check; ``register`` records those that block with the version, and the
gate of ``promote`` wants all of them passed, whoever drives. Tables and JSON only.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from fashion_ops.params import Params
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace

REPRODUCED_TAG = "reproduced"  # of a version whose predictions were seen to be the evaluated ones


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
    """Every garment has an id of its own and lies on an image of the catalog, in its split."""
    images = _images(ws, "image_id", "split")
    garments = pd.read_parquet(
        ws.catalog / "garments.parquet", columns=["garment_id", "image_id", "split"]
    )
    joined = garments.merge(images, on="image_id", how="left", suffixes=("", "_image"))
    strays = (joined["split"] != joined["split_image"]).tolist().count(True)
    twice = len(garments) - garments["garment_id"].nunique()
    empty = len(images) - garments["image_id"].nunique()
    return Outcome(
        strays == twice == empty == 0 and len(garments) > 0,
        {
            "images": len(images),
            "garments": len(garments),
            "garments without their image": strays,
            "garment ids given twice": twice,
            "images without a garment": empty,
        },
    )


def quarantine_share(params: Params, ws: Workspace) -> Outcome:
    """Of all records that came in, no more than ``ingest.max_quarantined`` were refused."""
    limit = params.ingest.max_quarantined
    rows = pd.read_parquet(ws.catalog / "quarantine.parquet", columns=["num_records"])
    refused = int(rows["num_records"].sum())
    total = refused + pq.read_metadata(ws.catalog / "garments.parquet").num_rows
    return Outcome(
        total > 0 and refused <= limit * total,
        {"records": total, "quarantined": refused, "ingest.max_quarantined": limit},
    )


def splits_do_not_leak(params: Params, ws: Workspace) -> Outcome:
    """No image is in two splits, and no shop/user pair where ids of pairs are ``global``."""
    ids = params.ingest.pair_ids
    images = _images(ws, "split", "file_name", "sha256", "pair_id")
    leaked = _in_two_splits(images[images["sha256"] != ""], "sha256")
    paired = images[images["pair_id"] >= 0] if ids == "global" else images.head(0)
    pairs = _in_two_splits(paired, "pair_id")
    unknown = int((images["sha256"] == "").sum())
    facts: dict[str, Any] = {
        "images in two splits": len(leaked),
        "pairs in two splits": len(pairs),
        "images left in place, without a hash": unknown,
        "ingest.pair_ids": ids,
    }
    if found := [*leaked, *pairs]:
        facts["for example"] = ", ".join(found[:5])
    return Outcome(not found, facts)


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


def registered_model_predicts_the_same(params: Params, ws: Workspace) -> Outcome:
    """The challenger loads from the registry and gives the evaluated predictions bit for bit.

    Asked once of a version; the gate of ``promote`` asks again before anything serves.
    """
    from fashion_ops.registry import client as registry

    client, name = registry.connect(ws.root), params.registration.model
    version = registry.with_alias(client, name, registry.CHALLENGER)
    source = f"models:/{name}@{registry.CHALLENGER}"
    if version and version.tags.get(REPRODUCED_TAG):
        return Outcome(True, {"model": source, "seen before": version.tags[REPRODUCED_TAG]})
    from fashion_ops.inference.reproduction import differences

    found = differences(registry.fetch_bundle(source), params, ws)
    if version and not found:
        client.set_model_version_tag(name, version.version, REPRODUCED_TAG, "bit for bit")
    return Outcome(not found, {"model": source, **found})


CHECKS = (
    Check("ingest", True, catalog_adds_up),
    Check("ingest", True, quarantine_share),
    Check("ingest", True, splits_do_not_leak),
    Check("evaluate", False, every_category_trained),
    Check("evaluate", True, beats_mean_shape),
    Check("register", True, registered_model_predicts_the_same),
)


def blocking_checks(params: Params, ws: Workspace) -> dict[str, str]:
    """Each blocking check of what ``register`` takes, by name: its numbers where it fails, else "".

    That the registered model is the judged one is not among them: the gate sees for itself.
    """
    wanted = [check for check in CHECKS if check.blocking and check.step != "register"]
    found = {check.name: check.run(params, ws) for check in wanted}
    return {
        name: "" if outcome.passed else ", ".join(f"{k} {v}" for k, v in outcome.facts.items()) or "no"
        for name, outcome in found.items()
    }


def _images(ws: Workspace, *columns: str) -> pd.DataFrame:
    return pd.read_parquet(ws.catalog / "images.parquet", columns=list(columns))


def _in_two_splits(images: pd.DataFrame, key: str) -> list[str]:
    """One image's name for each value of ``key`` that more than one split has."""
    splits = images.groupby(key)["split"].nunique()
    found = images[images[key].isin(splits.index[splits > 1])]
    return found.drop_duplicates(key)["file_name"].tolist()


def _metrics(ws: Workspace) -> dict[str, Any]:
    return json.loads((ws.evaluation / "metrics.json").read_text(encoding="utf-8"))
