"""Step ``drift``: the newest batch beside the training data that was there before it.

Category mix, distance of each garment's landmark configuration to the nearest pseudo-label centre
(ranked among its own category's, so that the mix does not matter), and image statistics. Writes
``ws.drift``: drift.json, and drift.png where there is a batch. How: ``evaluation.drift``.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.sources.batches import batch_of
from fashion_ops.evaluation import drift
from fashion_ops.methods.parts.pseudo_labels import distances, to_frame
from fashion_ops.params import Params
from fashion_ops.taxonomy import CATEGORIES, CATEGORY_NAMES
from fashion_ops.workspace import Workspace, publish

ENOUGH = 20  # garments of a category that ranks are taken among
SHRINK = 4


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Compare and write ``ws.drift``.

    Returns:
        batches: how many there are; drifted: measures of the newest that are over their limit; each
        measure's value by its name.
    """
    catalog = Catalog(ws.catalog)
    images = catalog.images[catalog.images["split"] == "train"]
    batch = images["file_name"].map(batch_of)
    names = sorted(set(batch) - {""})
    with publish(ws.drift) as folder:
        found: dict[str, Any] = {"batch": None, "measures": {}, "drifted": []}
        if names:
            found = _compare(params, catalog, ws, images, batch == names[-1], names[-1], folder)
        (folder / "drift.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    values = {name: measure["value"] for name, measure in found["measures"].items()}
    return {"batches": float(len(names)), "drifted": float(len(found["drifted"])), **values}


def _compare(
    params: Params,
    catalog: Catalog,
    ws: Workspace,
    images: pd.DataFrame,
    new: pd.Series,
    name: str,
    folder: Path,
) -> dict[str, Any]:
    garments = catalog.garments[catalog.garments["split"] == "train"]
    is_new = garments["image_id"].isin(images.loc[new, "image_id"]).to_numpy()
    ids = garments["category_id"].to_numpy()
    every = len(CATEGORIES) + 1
    mix = (
        np.bincount(ids[is_new], minlength=every)[1:],
        np.bincount(ids[~is_new], minlength=every)[1:],
    )
    rank = _ranks(ws, garments, is_new)
    rng = np.random.default_rng(params.seed)
    described = [_statistics(catalog, images[side], params.drift.images, rng) for side in (new, ~new)]
    statistics = {
        key: (described[0][:, i], described[1][:, i]) for i, key in enumerate(drift.STATISTICS)
    }
    measures = [drift.category_mix(*mix), drift.configurations(rank)]
    measures += [drift.image_statistic(key, *sides) for key, sides in statistics.items()]
    limits = {"psi": params.drift.max_psi, "ks": params.drift.max_ks}
    drift.draw(folder / "drift.png", CATEGORY_NAMES, mix, rank, statistics, name)
    return {
        "batch": name,
        "garments": {"batch": int(is_new.sum()), "before": int((~is_new).sum())},
        "measures": {m.name: {"kind": m.kind, "value": m.value, "p": m.p} for m in measures},
        "drifted": [m.name for m in measures if m.is_drift(limits, params.drift.significance)],
    }


def _ranks(ws: Workspace, garments: pd.DataFrame, is_new: np.ndarray) -> np.ndarray:
    """For each garment of the batch: where its distance stands among its category's before."""
    centers = pd.read_parquet(ws.pseudo_labels / "centers.parquet")
    found = []
    for category in CATEGORIES:
        rows = (garments["category_id"] == category.id).to_numpy()
        own = centers.loc[centers["category_id"] == category.id, "center"].tolist()
        if not own or (rows & ~is_new).sum() < ENOUGH or not (rows & is_new).any():
            continue
        points = np.stack(garments.loc[rows, "landmarks"].tolist())
        points = points.reshape(-1, category.num_landmarks, 3)
        boxes = np.stack(garments.loc[rows, "box"].tolist())
        observed = points[..., 2] > 0
        shapes = to_frame(points[..., :2], boxes)
        d = distances(shapes, observed, np.stack(own).reshape(len(own), -1, 2)).min(axis=1)
        d, side = d[observed.any(axis=1)], is_new[rows][observed.any(axis=1)]
        found.append(drift.ranks(d[side], d[~side]))
    return np.concatenate(found) if found else np.zeros(0)


def _statistics(
    catalog: Catalog, images: pd.DataFrame, most: int, rng: np.random.Generator
) -> np.ndarray:
    """(N, statistics) of at most so many images."""
    chosen = images.iloc[np.sort(rng.permutation(len(images))[:most])]
    return np.array(
        [
            drift.describe_image(catalog.image(int(i), SHRINK), int(w), int(h))
            for i, w, h in zip(chosen["image_id"], chosen["width"], chosen["height"], strict=True)
        ]
    ).reshape(-1, len(drift.STATISTICS))
