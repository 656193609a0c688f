"""Step ``drift``: the newest batch compared with the training data before it.

It compares the category mix, the distance of each garment's landmark configuration to the nearest
pseudo-label centre (as a rank within the category, so that the mix does not matter) and image
statistics. Writes ``ws.drift``: drift.json, and drift.png where there is a batch. The measures are in
``evaluation.drift``.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fashion_ops.catalog.origin_names import batch_of
from fashion_ops.catalog.reader import Catalog
from fashion_ops.errors.reading import read_table
from fashion_ops.evaluation import drift
from fashion_ops.methods.parts.pseudo_labels import distances, to_frame
from fashion_ops.params import Params
from fashion_ops.reports.drift import draw_drift
from fashion_ops.taxonomy import CATEGORIES, CATEGORY_NAMES
from fashion_ops.workspace import Workspace, publish

MIN_GARMENTS = 20  # of a category before the batch; with fewer, its garments get no rank
SHRINK = 4  # images are decoded smaller by this factor


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Compare the newest batch with the training data before it and write ``ws.drift``.

    Returns:
        batches: number of batches; drifted: number of measures of the newest batch whose difference is
        over its limit and significant; the value of each measure by its name, none without a batch.
    """
    catalog = Catalog(ws.catalog)
    images = catalog.images[catalog.images["split"] == "train"]
    batch = images["file_name"].map(batch_of)
    names = sorted(set(batch) - {""})
    with publish(ws.drift) as folder:
        report: dict[str, Any] = {"batch": None, "measures": {}, "drifted": []}
        if names:
            is_new = (batch == names[-1]).to_numpy()
            report = _compare(params, ws, images[is_new], images[~is_new], names[-1], folder)
        (folder / "drift.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    values = {name: measure["value"] for name, measure in report["measures"].items()}
    return {"batches": float(len(names)), "drifted": float(len(report["drifted"])), **values}


def _compare(
    params: Params, ws: Workspace, batch: pd.DataFrame, before: pd.DataFrame, name: str, folder: Path
) -> dict[str, Any]:
    """Compare a batch with the training data before it, and draw drift.png.

    Args:
        params: ``drift`` has the limits.
        ws: the workspace.
        batch: ``schemas.IMAGES`` of the batch.
        before: ``schemas.IMAGES`` of the training images before it.
        name: name of the batch.
        folder: where drift.png is written.

    Returns:
        The content of drift.json.
    """
    catalog = Catalog(ws.catalog)
    garments = catalog.garments[catalog.garments["split"] == "train"]
    is_new = garments["image_id"].isin(batch["image_id"]).to_numpy()
    ids = garments["category_id"].to_numpy()
    mix = (_count_categories(ids[is_new]), _count_categories(ids[~is_new]))
    rank = _ranks(ws, garments, is_new)
    rng = np.random.default_rng(params.seed)
    described = [_statistics(catalog, side, params.drift.images, rng) for side in (batch, before)]
    statistics = {
        key: (described[0][:, i], described[1][:, i]) for i, key in enumerate(drift.STATISTICS)
    }
    measures = [drift.category_mix(*mix), drift.configurations(rank)]
    measures += [drift.image_statistic(key, *sides) for key, sides in statistics.items()]
    limits = {"psi": params.drift.max_psi, "ks": params.drift.max_ks}
    draw_drift(folder / "drift.png", CATEGORY_NAMES, mix, rank, statistics, name)
    return {
        "batch": name,
        "garments": {"batch": int(is_new.sum()), "before": int((~is_new).sum())},
        "measures": {m.name: {"kind": m.kind, "value": m.value, "p": m.p} for m in measures},
        "drifted": [m.name for m in measures if m.is_drift(limits, params.drift.significance)],
    }


def _count_categories(category_ids: np.ndarray) -> np.ndarray:
    """Number of garments of each category, shape (13,)."""
    return np.bincount(category_ids, minlength=len(CATEGORIES) + 1)[1:]


def _ranks(ws: Workspace, garments: pd.DataFrame, is_new: np.ndarray) -> np.ndarray:
    """How unusual the landmark configuration of each new garment is within its category.

    That is the rank of its distance to the nearest pseudo-label centre among the garments of its
    category before the batch.

    Args:
        ws: workspace with the pseudo-label centres.
        garments: ``schemas.GARMENTS`` of the train split.
        is_new: bool (N,): which of them are in the batch.

    Returns:
        Ranks from 0 (typical) to 1 (unusual), shape (M,), of the new garments that have a labelled
        landmark and whose category has centres and ``MIN_GARMENTS`` garments before the batch.
    """
    centers = read_table(ws.pseudo_labels / "centers.parquet")
    parts = []
    for category in CATEGORIES:
        rows = (garments["category_id"] == category.id).to_numpy()
        fitted = centers.loc[centers["category_id"] == category.id, "center"].tolist()
        if not fitted or (rows & ~is_new).sum() < MIN_GARMENTS or not (rows & is_new).any():
            continue
        points = np.stack(garments.loc[rows, "landmarks"].tolist())
        points = points.reshape(-1, category.num_landmarks, 3)
        boxes = np.stack(garments.loc[rows, "box"].tolist())
        observed = points[..., 2] > 0
        shapes = to_frame(points[..., :2], boxes)
        d = distances(shapes, observed, np.stack(fitted).reshape(len(fitted), -1, 2)).min(axis=1)
        d, side = d[observed.any(axis=1)], is_new[rows][observed.any(axis=1)]
        parts.append(drift.ranks(d[side], d[~side]))
    return np.concatenate(parts) if parts else np.zeros(0)


def _statistics(
    catalog: Catalog, images: pd.DataFrame, number: int, rng: np.random.Generator
) -> np.ndarray:
    """Compute ``drift.STATISTICS`` of ``number`` images drawn at random, or of all if there are fewer.

    Returns:
        One row per drawn image, one column per statistic.
    """
    drawn = images.iloc[np.sort(rng.permutation(len(images))[:number])]
    return np.array(
        [
            drift.describe_image(catalog.image(int(i), SHRINK), int(w), int(h))
            for i, w, h in zip(drawn["image_id"], drawn["width"], drawn["height"], strict=True)
        ]
    ).reshape(-1, len(drift.STATISTICS))
