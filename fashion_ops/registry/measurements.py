"""The numbers of challenger and champion that the gate of ``promote`` decides by.

Both models are loaded from the registry, as they would be served. The challenger must give the
predictions that it was evaluated on, bit for bit. The champion is compared on the challenger's frozen
set; if it was evaluated on another one, it predicts again.

Today's code may be unable to load the champion: another version of it wrote a file that this one does
not know, or a file is gone. Predictions that the registry keeps are compared all the same.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from mlflow.entities.model_registry import ModelVersion

from fashion_ops.catalog.reader import Catalog
from fashion_ops.errors.reading import read_json
from fashion_ops.evaluation.bootstrap import Comparison, compare
from fashion_ops.evaluation.coco import detections
from fashion_ops.evaluation.oks_nms import oks_nms
from fashion_ops.inference.predictions import CHUNK
from fashion_ops.inference.predictor import Predictor, decode_photo
from fashion_ops.inference.reproduction import compare_start, predict_split
from fashion_ops.methods.parts.device import select_device
from fashion_ops.params import Evaluate, Params
from fashion_ops.progress import phase, track
from fashion_ops.registry import client as registry
from fashion_ops.registry.checks import CHECKS_FILE
from fashion_ops.registry.frozen_set import BOX_KINDS, FROZEN_SET, VARIANT, FrozenSet
from fashion_ops.registry.gate import Facts
from fashion_ops.registry.transitions import ROLLED_BACK
from fashion_ops.services import ServiceError
from fashion_ops.taxonomy import CATEGORIES
from fashion_ops.workspace import Workspace

_WARM_UP = 2  # photos before latency counts


@dataclass(frozen=True)
class Measurements:
    """What was measured for a decision."""

    facts: Facts  # that the gate decides by
    images: int  # in the challenger's frozen set
    champion_predicted_again: bool  # because it was evaluated on another frozen set
    digest: str  # of the challenger's frozen set
    champion_unloadable: str = ""  # why this code can't load the champion; empty if it can


def measure(
    params: Params,
    ws: Workspace,
    challenger: ModelVersion,
    champion: ModelVersion | None,
    again: bool = False,
) -> Measurements:
    """Load challenger and champion from the registry, measure and compare them.

    Args:
        params: ``promote`` sets the number of photos and bootstrap resamples, ``evaluate`` the split.
        ws: its catalog must hold the images and labels of the challenger's frozen set.
        challenger: the version to promote.
        champion: the version in use; None if there is none.
        again: allow a version that was rolled back.

    Raises:
        FileNotFoundError: the challenger lacks a record, because an older ``register`` made it.
        UnsafeModel: there is a pickle among the models.
    """
    device = select_device(params.distributed.device)
    bundle, predictor = _fetch(challenger, device)
    frozen = FrozenSet.read(registry.fetch_record(challenger, FROZEN_SET))
    catalog = Catalog(ws.catalog)
    in_catalog = FrozenSet.of_split(catalog, params.evaluate.split, {}).digest() == frozen.digest()
    objections = _objections(challenger, again)
    old_bundle, old_predictor, unloadable = (
        _fetch_champion(champion, device) if champion else (None, None, "")
    )
    comparisons, predicted_again = None, False
    if not in_catalog:
        objections.append(
            f"{ws.catalog} holds other images or labels than version {challenger.version} was "
            "evaluated on; `fashion-ops restore` restores those, `evaluate` and `register` use these"
        )
    elif different := _differences(predictor, catalog, frozen, params.evaluate):
        objections.append(f"loaded from the registry it predicts otherwise than evaluated: {different}")
    if champion:
        old = _recorded_predictions(champion, frozen)
        if old is None and in_catalog and old_predictor:
            try:
                old = _predict(old_predictor, catalog, frozen, params.evaluate)
                predicted_again = True
            except Exception as error:
                old_predictor, unloadable = None, _first_line(error)
        with phase("compare with the champion"):
            comparisons = _compare(frozen, old, params) if old else None
    photos = _photos(catalog, frozen, params.promote.latency_photos) if in_catalog else []
    if old_predictor and photos and (why := _failure(old_predictor, photos[0])):
        old_predictor, unloadable = None, why
    times = latencies([p for p in (predictor, old_predictor) if p], photos)
    medians = [statistics.median(milliseconds) for milliseconds in times]
    facts = Facts(
        metrics=registry.metrics_of(challenger),
        comparisons=comparisons,
        garments=_count_garments(frozen),
        latency_ms=(medians[0] if medians else None, medians[1] if len(medians) > 1 else None),
        latency_ratio=median_ratio(*times) if len(times) > 1 else None,
        size_mb=(_megabytes(bundle), _megabytes(old_bundle) if old_bundle else None),
        checks=read_json(registry.fetch_record(challenger, CHECKS_FILE)),
        objections=tuple(objections),
    )
    return Measurements(facts, len(frozen.images), predicted_again, frozen.digest(), unloadable)


def _fetch(version: ModelVersion, device: torch.device) -> tuple[Path, Predictor]:
    """Download the models of a version; returns their folder and the loaded predictor."""
    with phase(f"load version {version.version}"):
        bundle = registry.fetch_bundle(f"models:/{version.name}/{version.version}")
        return bundle, Predictor.load(bundle, device)


def _fetch_champion(
    champion: ModelVersion, device: torch.device
) -> tuple[Path | None, Predictor | None, str]:
    """Download and load the champion.

    Returns:
        Folder and predictor, each None if this code can't have it, and why; empty if it can.

    Raises:
        ServiceError: the registry does not answer.
    """
    bundle = None
    try:
        with phase(f"load version {champion.version}"):
            bundle = registry.fetch_bundle(f"models:/{champion.name}/{champion.version}")
            return bundle, Predictor.load(bundle, device), ""
    except ServiceError:  # that says nothing of the champion
        raise
    except Exception as error:  # the files of another version of the code can be wrong in any way
        return bundle, None, _first_line(error)


def _failure(predictor: Predictor, photo: bytes) -> str:
    """Why a loaded predictor can't predict a photo after all; empty if it can."""
    try:
        predictor.predict(decode_photo(photo, "photo"))
    except Exception as error:  # see ``_fetch_champion``
        return _first_line(error)
    return ""


def _first_line(error: Exception) -> str:
    """Kind and first line of an error."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _objections(challenger: ModelVersion, again: bool) -> list[str]:
    """One sentence if the challenger was rolled back and ``again`` does not allow it; else empty."""
    reason = challenger.tags.get(ROLLED_BACK)
    if reason is None or again:
        return []
    return [f"version {challenger.version} was rolled back ({reason}); `fashion-ops promote --again`"]


def _differences(predictor: Predictor, catalog: Catalog, frozen: FrozenSet, p: Evaluate) -> str:
    """Predict again on the first images, and compare with the predictions that were evaluated.

    Returns:
        What differs for each kind of boxes, in words; empty if no bit differs.
    """
    images = catalog.images[catalog.images["split"] == p.split]
    made = predict_split(predictor, catalog, images, p.max_detections, CHUNK, p.score)
    differences = {
        kind: compare_start(frozen.predictions[kind], made[kind].get(VARIANT), p, CHUNK)
        for kind in BOX_KINDS
    }
    return ", ".join(f"{kind}: {text}" for kind, text in differences.items() if text)


def _recorded_predictions(champion: ModelVersion, frozen: FrozenSet) -> dict[str, pd.DataFrame] | None:
    """The predictions that the champion was evaluated on, by kind of boxes.

    Their image ids are those of ``frozen``, the challenger's frozen set. None if the champion was
    evaluated on other images or labels.
    """
    try:
        recorded = FrozenSet.read(registry.fetch_record(champion, FROZEN_SET))
    except (OSError, ValueError):  # registered before frozen sets were kept, or gone or damaged since
        return None
    if recorded.digest() != frozen.digest():
        return None
    ids = dict(zip(frozen.images["coco_id"], frozen.images["image_id"], strict=True))
    new_ids = dict(zip(recorded.images["image_id"], recorded.images["coco_id"].map(ids), strict=True))
    return {
        kind: table.assign(image_id=table["image_id"].map(new_ids))
        for kind, table in recorded.predictions.items()
    }


def _predict(
    predictor: Predictor, catalog: Catalog, frozen: FrozenSet, p: Evaluate
) -> dict[str, pd.DataFrame]:
    """Predict on the frozen set, whose images are in the catalog; returns a table by kind of boxes."""
    images = catalog.images[catalog.images["split"] == p.split]
    made = predict_split(predictor, catalog, images, p.max_detections, None, p.score)
    empty = frozen.predictions[BOX_KINDS[0]].head(0)
    return {kind: oks_nms(made[kind].get(VARIANT, empty), p.oks_nms) for kind in BOX_KINDS}


def _compare(frozen: FrozenSet, old: dict[str, pd.DataFrame], params: Params) -> dict[str, Comparison]:
    """Compare the AP of the champion's predictions with the challenger's, by kind of boxes.

    Args:
        frozen: the challenger's frozen set, with its predictions.
        old: the champion's predictions on the same images, by kind of boxes.
        params: ``promote`` configures the bootstrap.
    """
    truth, gate = frozen.ground_truth(), params.promote
    return {
        kind: compare(
            truth,
            frozen.detections(kind),
            detections(old[kind], frozen.images),
            resamples=gate.resamples,
            confidence=gate.confidence,
            seed=params.seed,
            max_detections=params.evaluate.max_detections,
        )
        for kind in BOX_KINDS
    }


def _count_garments(frozen: FrozenSet) -> dict[int, int]:
    """Number of garments that count in the evaluation, by category id."""
    truth = frozen.ground_truth()
    counts = np.bincount(truth.category[~truth.ignored], minlength=len(CATEGORIES) + 1)
    return {c.id: int(counts[c.id]) for c in CATEGORIES}


def _photos(catalog: Catalog, frozen: FrozenSet, count: int) -> list[bytes]:
    """The encoded bytes of ``count`` images spread evenly over the frozen set, or of all if fewer."""
    ids = dict(zip(catalog.images["file_name"], catalog.images["image_id"], strict=True))
    rows = np.linspace(0, len(frozen.images) - 1, min(count, len(frozen.images))).astype(int)
    return [catalog.image_bytes(int(ids[name])) for name in frozen.images["file_name"].iloc[rows]]


def latencies(predictors: Sequence[Predictor], photos: Sequence[bytes]) -> list[list[float]]:
    """Time in milliseconds from each photo's encoded bytes to its garments.

    The predictors take turns on every photo, there and back (A B B A), so that other load of the
    machine affects all alike. The shorter of a predictor's two times counts: load only ever adds. A few
    photos are predicted before the measurement starts.

    Returns:
        A list per predictor with one number per photo; empty if there are no photos.
    """
    for data in photos[:_WARM_UP]:
        for predictor in predictors:
            _milliseconds(predictor, data)
    times: list[list[float]] = [[] for _ in predictors]
    for data in track(photos, "time photos"):
        there = [_milliseconds(predictor, data) for predictor in predictors]
        back = [_milliseconds(predictor, data) for predictor in reversed(predictors)]
        for milliseconds, first, second in zip(times, there, reversed(back), strict=True):
            milliseconds.append(min(first, second))
    return times if photos else []


def _milliseconds(predictor: Predictor, data: bytes) -> float:
    """How long a predictor takes for one photo."""
    start = time.perf_counter()
    predictor.predict(decode_photo(data, "photo"))
    return 1000 * (time.perf_counter() - start)


def median_ratio(new: Sequence[float], old: Sequence[float]) -> float:
    """Median over the photos of the challenger's time over the champion's for the same photo."""
    return statistics.median(a / b for a, b in zip(new, old, strict=True))


def _megabytes(bundle: Path) -> float:
    """Size of all files in a folder and below, in MB (10^6 bytes)."""
    return sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()) / 1e6
