"""What the gate of ``promote`` judges by: numbers of challenger and champion. Not a step itself.

Both are taken from the registry as they would be served. The challenger must give, bit for bit, the
predictions that it was evaluated by; the champion is compared on the challenger's shard, and predicts
anew where its own was another.
"""

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion

from fashion_ops.catalog.reader import Catalog
from fashion_ops.evaluation.bootstrap import Comparison, compare
from fashion_ops.evaluation.coco import detections
from fashion_ops.evaluation.oks_nms import oks_nms
from fashion_ops.inference.predictions import CHUNK
from fashion_ops.inference.predictor import Predictor, decode_photo
from fashion_ops.inference.reproduction import compare_start, predict_split
from fashion_ops.params import Evaluate, Params
from fashion_ops.registry import client as registry
from fashion_ops.registry.frozen_set import CHECKS, KINDS, ROW, SHARD, Shard, shard_of
from fashion_ops.registry.gate import Facts
from fashion_ops.registry.transitions import ROLLED_BACK
from fashion_ops.taxonomy import CATEGORIES
from fashion_ops.workspace import Workspace

_WARM = 2  # photos before the clock counts


@dataclass(frozen=True)
class Measured:
    """Facts for the gate, and what the page tells besides."""

    facts: Facts
    images: int
    judged_anew: bool
    digest: str


def measure(
    params: Params,
    ws: Workspace,
    challenger: ModelVersion,
    champion: ModelVersion | None,
    again: bool = False,
) -> Measured:
    """Take both from the registry and measure them.

    Args:
        params: ``promote`` says on how many photos and resamples, ``evaluate`` on which split.
        ws: its catalog must hold the challenger's shard.
        challenger: the version that wants to serve.
        champion: the one that does.
        again: whether a version that was rolled back may come back.

    Raises:
        FileNotFoundError: the challenger lacks a record: it was not made by ``register`` of today.
        UnsafeModel: there is a pickle among its models.
    """
    bundle, predictor = _fetch(challenger)
    shard = Shard.read(registry.record_of(challenger, SHARD))
    catalog = Catalog(ws.catalog)
    here = shard_of(catalog, params.evaluate.split, {}).digest() == shard.digest()
    against = _against(challenger, again)
    old_bundle, old_predictor = _fetch(champion) if champion else (None, None)
    comparisons, anew = None, False
    if not here:
        against.append(
            f"{ws.catalog} holds other images or labels than version {challenger.version} was judged "
            "on; `fashion-ops restore` brings its own back, `evaluate` and `register` judge these"
        )
    elif wrong := _reproduce(predictor, catalog, shard, params.evaluate):
        against.append(f"loaded from the registry it predicts otherwise than evaluated: {wrong}")
    if champion and old_predictor:
        old, anew = _champions_predictions(
            champion, old_predictor, catalog, shard, params.evaluate, here
        )
        comparisons = _compare(shard, old, params) if old else None
    photos = _photos(catalog, shard, params.promote.latency_photos) if here else []
    times = latencies([p for p in (predictor, old_predictor) if p], photos)
    facts = Facts(
        metrics=registry.metrics_of(challenger),
        comparisons=comparisons,
        garments=_counts(shard),
        latency_ms=(times[0] if times else None, times[1] if len(times) > 1 else None),
        size_mb=(_megabytes(bundle), _megabytes(old_bundle) if old_bundle else None),
        checks=json.loads(registry.record_of(challenger, CHECKS).read_text(encoding="utf-8")),
        objections=tuple(against),
    )
    return Measured(facts, len(shard.images), anew, shard.digest())


def _fetch(version: ModelVersion) -> tuple[Path, Predictor]:
    bundle = registry.fetch_bundle(f"models:/{version.name}/{version.version}")
    return bundle, Predictor.load(bundle)


def _against(challenger: ModelVersion, again: bool) -> list[str]:
    said = challenger.tags.get(ROLLED_BACK)
    if said is None or again:
        return []
    return [f"version {challenger.version} was rolled back ({said}); `fashion-ops promote --again`"]


def _reproduce(predictor: Predictor, catalog: Catalog, shard: Shard, p: Evaluate) -> str:
    """What of the first predictions is not as evaluated."""
    images = catalog.images[catalog.images["split"] == p.split]
    made = predict_split(predictor, catalog, images, p.max_detections, CHUNK, p.score)
    found = {k: compare_start(shard.predictions[k], made[k].get(ROW), p, CHUNK) for k in KINDS}
    return ", ".join(f"{kind}: {what}" for kind, what in found.items() if what)


def _champions_predictions(
    champion: ModelVersion,
    predictor: Predictor,
    catalog: Catalog,
    shard: Shard,
    p: Evaluate,
    here: bool,
) -> tuple[dict[str, pd.DataFrame] | None, bool]:
    """The champion's predictions on the shard, None where it can't make any; whether they are new."""
    try:
        own = Shard.read(registry.record_of(champion, SHARD))
    except FileNotFoundError:  # registered before shards were kept
        own = None
    if own is not None and own.digest() == shard.digest():
        return _renamed(own, shard), False
    if not here:
        return None, False
    images = catalog.images[catalog.images["split"] == p.split]
    made = predict_split(predictor, catalog, images, p.max_detections, None, p.score)
    none = shard.predictions[KINDS[0]].head(0)
    return {kind: oks_nms(made[kind].get(ROW, none), p.oks_nms) for kind in KINDS}, True


def _renamed(own: Shard, shard: Shard) -> dict[str, pd.DataFrame]:
    """Predictions under the image ids that the shard's catalog gave."""
    ids = dict(zip(shard.images["coco_id"], shard.images["image_id"], strict=True))
    now = {
        old: ids[coco] for old, coco in zip(own.images["image_id"], own.images["coco_id"], strict=True)
    }
    return {k: t.assign(image_id=t["image_id"].map(now)) for k, t in own.predictions.items()}


def _compare(shard: Shard, old: dict[str, pd.DataFrame], params: Params) -> dict[str, Comparison]:
    truth, gate = shard.truth(), params.promote
    return {
        kind: compare(
            truth,
            shard.found(kind),
            detections(old[kind], shard.images),
            resamples=gate.resamples,
            confidence=gate.confidence,
            seed=params.seed,
            max_detections=params.evaluate.max_detections,
        )
        for kind in KINDS
    }


def _counts(shard: Shard) -> dict[int, int]:
    """Garments of each category that can be found."""
    truth = shard.truth()
    counts = np.bincount(truth.category[~truth.ignored], minlength=len(CATEGORIES) + 1)
    return {c.id: int(counts[c.id]) for c in CATEGORIES}


def _photos(catalog: Catalog, shard: Shard, count: int) -> list[bytes]:
    """Encoded images, spread over the shard."""
    names = dict(zip(catalog.images["file_name"], catalog.images["image_id"], strict=True))
    places = np.linspace(0, len(shard.images) - 1, min(count, len(shard.images))).astype(int)
    return [catalog.image_bytes(int(names[n])) for n in shard.images["file_name"].iloc[places]]


def latencies(predictors: Sequence[Predictor], photos: Sequence[bytes]) -> list[float]:
    """Median milliseconds from a photo's bytes to its garments, of each predictor in turn.

    They take turns photo by photo, so that whatever else the machine does burdens all alike.
    """
    times: list[list[float]] = [[] for _ in predictors]
    for number, data in enumerate([*photos[:_WARM], *photos]):
        for predictor, own in zip(predictors, times, strict=True):
            start = time.perf_counter()
            predictor.predict(decode_photo(data, "photo"))
            if number >= _WARM:
                own.append(1000 * (time.perf_counter() - start))
    return [statistics.median(own) for own in times] if photos else []


def _megabytes(bundle: Path) -> float:
    return sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()) / 1e6
