"""The numbers of challenger and champion that the gate of ``promote_alignment`` decides by.

Both are loaded from the registry, as they would be served. The challenger predicts the garments that it
was evaluated on again, in their labelled boxes. The champion is compared on the same garments: with its
recorded predictions if it was evaluated on them, else it predicts them too.
"""

from pathlib import Path

import numpy as np
import torch
from mlflow.entities.model_registry import ModelVersion

from fashion_ops.catalog.alignment.reader import AlignmentCatalog
from fashion_ops.evaluation.bootstrap import Difference
from fashion_ops.evaluation.bootstrap_errors import compare_errors
from fashion_ops.inference.alignment_predictor import AlignmentFolder, AlignmentPredictor
from fashion_ops.inference.latency import latencies
from fashion_ops.inference.predictor import decode_photo
from fashion_ops.methods.parts.device import select_device
from fashion_ops.params import Params
from fashion_ops.progress import phase
from fashion_ops.registry import client as registry
from fashion_ops.registry.alignment_gate import AlignmentFacts
from fashion_ops.registry.alignment_set import FROZEN_SET, AlignmentSet
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
from fashion_ops.workspace import Workspace

SOURCE_TAG = "source"  # tag of a version: the alignment catalog that it was evaluated on


def measure(
    params: Params,
    ws: Workspace,
    challenger: ModelVersion,
    champion: ModelVersion | None,
    again: bool = False,
) -> Measurements[AlignmentFacts]:
    """Load challenger and champion from the registry, measure and compare them.

    Args:
        params: ``promote_alignment`` sets the number of photos and bootstrap resamples.
        ws: its catalog should hold the garments of the challenger's frozen set.
        challenger: the version to promote.
        champion: the version in use; None if there is none.
        again: allow a version that was rolled back.

    Raises:
        FileNotFoundError: the challenger lacks a record.
        ServiceError: the registry does not answer.
        UnsafeModel: there is a pickle among the models.
    """
    gate, device = params.promote_alignment, select_device(params.distributed.device)
    bundle = fetch(challenger)
    frozen = AlignmentSet.read(registry.fetch_record(challenger, FROZEN_SET))
    catalog = _catalog(ws, challenger, frozen)
    names = frozen.garments["file_name"]
    photos = [] if catalog is None else photos_of(catalog, names, gate.latency_photos)
    predictor, pixels = _load(bundle, device), None
    if catalog is not None:
        with phase("predict the evaluated garments again"):
            made = _predict(predictor, catalog, frozen)
        pixels = _pixels(made, frozen)
    old_bundle, old, unloadable = None, None, ""
    comparison, predicted_again = None, False
    if champion is not None:
        recorded = recorded_set(champion, FROZEN_SET, frozen)
        try:
            old_bundle = fetch(champion)
            old = _load(old_bundle, device)
            if photos:
                old.predict(decode_photo(photos[0], "photo"))
            if recorded is None and catalog is not None:
                with phase("predict with the champion"):
                    recorded = _predict(old, catalog, frozen)
                predicted_again = True
        except Exception as error:  # the files of another version of the code can be wrong in any way
            old, unloadable = None, why_unloadable(error)
        comparison = recorded and _compare(frozen, recorded, params)
    times = latencies([p for p in (predictor, old) if p is not None], photos)
    latency_ms, latency_ratio = latency_of(times)
    metrics = registry.metrics_of(challenger)
    facts = AlignmentFacts(
        ne=float(metrics["NE"]),
        mean_shape=float(metrics["NE mean shape of type"]),
        comparison=comparison,
        pixels=pixels,
        latency_ms=latency_ms,
        latency_ratio=latency_ratio,
        size_mb=megabytes(bundle, old_bundle),
        garments=len(frozen.garments),
        objections=tuple(objections_to(challenger, again, "promote_alignment")),
    )
    return Measurements(facts, facts.garments, predicted_again, frozen.digest(), unloadable)


def _load(bundle: Path, device: torch.device) -> AlignmentPredictor:
    """Load the alignment model of a bundle.

    Raises:
        ValueError: it holds none.
    """
    found = AlignmentFolder.find(bundle)
    if found is None:
        raise ValueError(f"{bundle}: holds no alignment model; register one under another name")
    return AlignmentPredictor.load(found, device)


def _catalog(ws: Workspace, challenger: ModelVersion, frozen: AlignmentSet) -> AlignmentCatalog | None:
    """The catalog of the workspace with the garments of a frozen set; None if it has others."""
    folder = ws.alignment_catalog / challenger.tags.get(SOURCE_TAG, "fld")
    if not (folder / "garments.parquet").is_file():
        return None
    catalog, (split,) = AlignmentCatalog(folder), set(frozen.garments["split"])
    if not (catalog.garments["split"] == split).any():
        return None
    same = AlignmentSet.of_split(catalog, split).digest() == frozen.digest()
    return catalog if same else None


def _predict(
    predictor: AlignmentPredictor, catalog: AlignmentCatalog, frozen: AlignmentSet
) -> AlignmentSet:
    """Predict the garments of a frozen set, which are in the catalog, in their labelled boxes."""
    here = AlignmentSet.of_split(catalog, frozen.garments["split"].iloc[0])  # ids of this catalog
    rows = here.rows
    landmarks = predictor.method.predict_garments(
        catalog.image, rows.image_id, rows.box, rows.clothes_type
    )
    return frozen.with_landmarks(landmarks)


def _pixels(made: AlignmentSet, frozen: AlignmentSet) -> float:
    """Distance within which 99 % of the landmarks are predicted again, pixels."""
    far = np.linalg.norm(made.points - frozen.points, axis=-1)[frozen.rows.present]
    return float(np.percentile(far, 99))


def _compare(frozen: AlignmentSet, old: AlignmentSet, params: Params) -> Difference:
    """Compare the NE of the challenger with that of the champion's predictions."""
    gate = params.promote_alignment
    return compare_errors(
        frozen.errors,
        old.errors,
        frozen.counted,
        resamples=gate.resamples,
        confidence=gate.confidence,
        seed=params.seed,
    )
