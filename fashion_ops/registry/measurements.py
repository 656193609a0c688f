"""The numbers of challenger and champion that the gate of ``promote`` decides by.

Both models are loaded from the registry, as they would be served. The challenger must give the
predictions that it was evaluated on: bit for bit on the hardware of its evaluation, elsewhere within
the gate's tolerances. The champion is compared on the challenger's frozen set; if it was evaluated on
another one, it predicts again. With RAY_ADDRESS set, all this happens on the cluster, the measurement
of time too, and this process loads no model.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion

from fashion_ops.catalog.reader import Catalog
from fashion_ops.distributed.block_runners import block_runners
from fashion_ops.errors.reading import read_json
from fashion_ops.evaluation.bootstrap import Comparison, compare
from fashion_ops.evaluation.coco import detections
from fashion_ops.evaluation.oks_nms import oks_nms
from fashion_ops.inference.latency import TimeBlock, TryBlock
from fashion_ops.inference.predictor import Predictors, bundle_of
from fashion_ops.inference.reproduction import PredictorRunner, predict_split, reproduce
from fashion_ops.methods.parts.blocks import Block, BlockRunner
from fashion_ops.params import Evaluate, Params
from fashion_ops.progress import phase
from fashion_ops.registry import client as registry
from fashion_ops.registry.checks import CHECKS_FILE
from fashion_ops.registry.comparing import (
    Measurements,
    fetch,
    latency_of,
    megabytes,
    objections_to,
    photos_of,
    recorded_set,
    why_unloadable,
)
from fashion_ops.registry.frozen_set import BOX_KINDS, FROZEN_SET, VARIANT, FrozenSet
from fashion_ops.registry.gate import Facts
from fashion_ops.taxonomy import CATEGORIES
from fashion_ops.workspace import Workspace


def measure(
    params: Params,
    ws: Workspace,
    challenger: ModelVersion,
    champion: ModelVersion | None,
    again: bool = False,
) -> Measurements[Facts]:
    """Load challenger and champion from the registry, measure and compare them.

    Args:
        params: ``promote`` sets the number of photos and bootstrap resamples, ``evaluate`` the split.
        ws: its catalog must hold the images and labels of the challenger's frozen set.
        challenger: the version to promote.
        champion: the version in use; None if there is none.
        again: allow a version that was rolled back.

    Raises:
        FileNotFoundError: the challenger lacks a record, because an older ``register`` made it.
        ServiceError: the registry does not answer.
        UnsafeModel: there is a pickle among the models.
    """
    bundle = fetch(challenger)
    frozen = FrozenSet.read(registry.fetch_record(challenger, FROZEN_SET))
    catalog = Catalog(ws.catalog)
    in_catalog = FrozenSet.of_split(catalog, params.evaluate.split, {}).digest() == frozen.digest()
    objections = objections_to(challenger, again, "promote")
    old_bundle, unloadable = _fetch_champion(champion) if champion else (None, "")
    comparisons, reproduction, predicted_again = None, None, False
    names = frozen.images["file_name"]
    photos = photos_of(catalog, names, params.promote.latency_photos) if in_catalog else []
    bundles = [bundle_of(folder) for folder in (bundle, old_bundle) if folder]
    with block_runners(params.distributed, ws.checkpoints, "promote") as open_runner:
        runner = open_runner(Predictors, bundles)
        _run(runner, TryBlock(0), f"load version {challenger.version}")
        if champion and old_bundle:
            unloadable = _run(
                runner, TryBlock(1, photos[0] if photos else None), f"load version {champion.version}"
            )
        if not in_catalog:
            objections.append(
                f"{ws.catalog} holds other images or labels than version {challenger.version} was "
                "evaluated on; `fashion-ops restore` restores those, `evaluate` and `register` use "
                "these"
            )
        else:
            recorded = {f"{kind}/{VARIANT}": frozen.predictions[kind] for kind in BOX_KINDS}
            one = PredictorRunner(runner)
            reproduction = reproduce(one, catalog, recorded, params.evaluate, frozen.hardware)
        if champion:
            old = _recorded_predictions(champion, frozen)
            if old is None and in_catalog and not unloadable:
                try:
                    old = _predict(PredictorRunner(runner, 1), catalog, frozen, params.evaluate)
                    predicted_again = True
                except Exception as error:
                    unloadable = why_unloadable(error)
            with phase("compare with the champion"):
                comparisons = _compare(frozen, old, params) if old else None
        timed = (0, 1) if champion and not unloadable else (0,)
        times = _run(runner, TimeBlock(timed, tuple(photos)), "time photos") if photos else []
    latency_ms, latency_ratio = latency_of(times)
    facts = Facts(
        metrics=registry.metrics_of(challenger),
        comparisons=comparisons,
        garments=_count_garments(frozen),
        latency_ms=latency_ms,
        latency_ratio=latency_ratio,
        size_mb=megabytes(bundle, old_bundle),
        checks=read_json(registry.fetch_record(challenger, CHECKS_FILE)),
        objections=tuple(objections),
        reproduction=reproduction,
    )
    return Measurements(
        facts,
        len(frozen.images),
        predicted_again,
        frozen.digest(),
        unloadable,
        reproduction.in_words() if reproduction else "",
    )


def _run(runner: BlockRunner, block: Block, label: str) -> Any:
    """The result of a single block."""
    return runner.run([(label, block)], label, 1)[label]


def _fetch_champion(champion: ModelVersion) -> tuple[Path | None, str]:
    """Download the champion: its folder, or None and why this code can't have it.

    Raises:
        ServiceError: the registry does not answer; see also ``why_unloadable``.
    """
    try:
        return fetch(champion), ""
    except Exception as error:  # the files of another version of the code can be wrong in any way
        return None, why_unloadable(error)


def _recorded_predictions(champion: ModelVersion, frozen: FrozenSet) -> dict[str, pd.DataFrame] | None:
    """The predictions that the champion was evaluated on, by kind of boxes.

    Their image ids are those of ``frozen``, the challenger's frozen set. None if ``recorded_set`` is.
    """
    recorded = recorded_set(champion, FROZEN_SET, frozen)
    if recorded is None:
        return None
    ids = dict(zip(frozen.images["coco_id"], frozen.images["image_id"], strict=True))
    new_ids = dict(zip(recorded.images["image_id"], recorded.images["coco_id"].map(ids), strict=True))
    return {
        kind: table.assign(image_id=table["image_id"].map(new_ids))
        for kind, table in recorded.predictions.items()
    }


def _predict(
    runner: BlockRunner, catalog: Catalog, frozen: FrozenSet, p: Evaluate
) -> dict[str, pd.DataFrame]:
    """Predict on the frozen set, whose images are in the catalog; returns a table by kind of boxes."""
    images = catalog.images[catalog.images["split"] == p.split]
    made = predict_split(runner, catalog, images, p, None)
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
