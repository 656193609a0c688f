"""Checks of step outputs as plain functions that read tables and JSON.

Dagster shows each as an asset check. ``register`` records the results of the blocking ones with the
version, and the gate of ``promote`` requires all of them to pass, whichever orchestrator ran the steps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fashion_ops.catalog.quarantine import Reason
from fashion_ops.errors.reading import open_table, read_object, read_table
from fashion_ops.params import Params
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace

CHECKS_FILE = "checks.json"  # results of the blocking checks, among the records of a version
REPRODUCED_TAG = "reproduced"  # tag of a version that gave the evaluated predictions again


@dataclass(frozen=True)
class Outcome:
    """Whether a check passed, and the numbers behind it."""

    passed: bool
    facts: dict[str, Any]


@dataclass(frozen=True)
class Check:
    """One check of the output of a step. If a ``blocking`` check fails, downstream steps do not run."""

    step: str
    blocking: bool
    run: Callable[[Params, Workspace], Outcome]

    @property
    def name(self) -> str:
        """Name of the function; the asset check in Dagster has it too."""
        return self.run.__name__


def catalog_adds_up(params: Params, ws: Workspace) -> Outcome:
    """Garment ids are unique, and each garment's image is in its split.

    An empty catalog fails. Images without a garment are counted: they are negatives.
    """
    images = _images(ws, "image_id", "split")
    garments = read_table(ws.catalog / "garments.parquet", columns=["garment_id", "image_id", "split"])
    joined = garments.merge(images, on="image_id", how="left", suffixes=("", "_image"))
    misplaced = (joined["split"] != joined["split_image"]).tolist().count(True)
    duplicate_ids = len(garments) - garments["garment_id"].nunique()
    empty_images = len(images) - garments["image_id"].nunique()
    return Outcome(
        misplaced == duplicate_ids == 0 and len(garments) > 0,
        {
            "images": len(images),
            "garments": len(garments),
            "garments without their image": misplaced,
            "garment ids given twice": duplicate_ids,
            "images without a garment": empty_images,
        },
    )


def quarantine_share(params: Params, ws: Workspace) -> Outcome:
    """At most the share ``ingest.max_quarantined`` of all records is invalid and in quarantine.

    Crowd regions are valid. A catalog without any record fails.
    """
    limit = params.ingest.max_quarantined
    rows = read_table(ws.catalog / "quarantine.parquet", columns=["reason", "num_records"])
    quarantined = int(rows.loc[rows["reason"] != Reason.CROWD, "num_records"].sum())
    total = quarantined + open_table(ws.catalog / "garments.parquet").metadata.num_rows
    return Outcome(
        total > 0 and quarantined <= limit * total,
        {"records": total, "quarantined": quarantined, "ingest.max_quarantined": limit},
    )


def splits_do_not_leak(params: Params, ws: Workspace) -> Outcome:
    """No image is in two splits, and no shop/user pair if ``ingest.pair_ids`` is ``global``.

    Images are compared by sha256; those without one, which stay outside of the catalog, are not.
    """
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
    if examples := [*leaked, *pairs]:
        facts["for example"] = ", ".join(examples[:5])
    return Outcome(not examples, facts)


def every_category_trained(params: Params, ws: Workspace) -> Outcome:
    """Each of the 13 categories has training garments, a finetuned model and a refined model."""
    per_category = _metrics(ws)["per_category"]
    missing = [
        name
        for name in CATEGORY_NAMES
        if per_category.get(name, {}).get("train", 0) == 0
        or not all((f(name) / "model.json").is_file() for f in (ws.finetuned, ws.refined))
    ]
    return Outcome(not missing, {"missing": ", ".join(missing) or "none"})


def beats_mean_shape(params: Params, ws: Workspace) -> Outcome:
    """Landmark AP of the refined landmarks beats that of the mean shape by ``evaluate.min_gain``."""
    ap, min_gain = _metrics(ws)["landmark_ap"], params.evaluate.min_gain
    return Outcome(
        ap["refined"] - ap["mean_shape"] > min_gain,
        {"refined": ap["refined"], "mean_shape": ap["mean_shape"], "evaluate.min_gain": min_gain},
    )


def registered_model_predicts_the_same(params: Params, ws: Workspace) -> Outcome:
    """The challenger, loaded from the registry, gives the evaluated predictions again.

    On the hardware of the evaluation they are the same bit for bit, elsewhere within the tolerances of
    ``promote``. A tag of the version keeps a positive result, so that the comparison is not repeated.
    The gate of ``promote`` compares again.
    """
    from fashion_ops.registry import client as registry

    client, name = registry.connect(ws.root), params.registration.model
    version = registry.with_alias(client, name, registry.CHALLENGER)
    source = f"models:/{name}@{registry.CHALLENGER}"
    if version and version.tags.get(REPRODUCED_TAG):
        return Outcome(True, {"model": source, "seen before": version.tags[REPRODUCED_TAG]})
    from fashion_ops.distributed.block_runners import block_runners
    from fashion_ops.inference.reproduction import reproduce_evaluation

    with block_runners(params.distributed, ws.checkpoints, "register") as open_runner:
        bundle = registry.fetch_bundle(source)
        reproduction = reproduce_evaluation(bundle, params, ws, open_runner)
    failures, same = reproduction.failures(params.promote), reproduction.in_words()
    if version and not failures:
        client.set_model_version_tag(name, version.version, REPRODUCED_TAG, same)
    return Outcome(not failures, {"model": source, "predictions": same, **failures})


CHECKS = (
    Check("ingest", True, catalog_adds_up),
    Check("ingest", True, quarantine_share),
    Check("ingest", True, splits_do_not_leak),
    Check("evaluate", False, every_category_trained),
    Check("evaluate", True, beats_mean_shape),
    Check("register", True, registered_model_predicts_the_same),
)


def blocking_checks(params: Params, ws: Workspace) -> dict[str, str]:
    """Run the blocking checks of all steps before ``register``.

    Returns:
        For each check by name, an empty text if it passed, else the numbers that it failed with.
    """
    outcomes = {
        check.name: check.run(params, ws)
        for check in CHECKS
        if check.blocking and check.step != "register"
    }
    return {
        name: "" if outcome.passed else ", ".join(f"{k} {v}" for k, v in outcome.facts.items()) or "no"
        for name, outcome in outcomes.items()
    }


def _images(ws: Workspace, *columns: str) -> pd.DataFrame:
    """These columns of ``schemas.IMAGES`` of the catalog."""
    return read_table(ws.catalog / "images.parquet", columns=list(columns))


def _in_two_splits(images: pd.DataFrame, key: str) -> list[str]:
    """For each value of the column ``key`` that occurs in several splits, one image's file name."""
    splits = images.groupby(key)["split"].nunique()
    shared = images[images[key].isin(splits.index[splits > 1])]
    return shared.drop_duplicates(key)["file_name"].tolist()


def _metrics(ws: Workspace) -> dict[str, Any]:
    """The content of metrics.json, which step ``evaluate`` wrote."""
    return read_object(ws.evaluation / "metrics.json")
