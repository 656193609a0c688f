"""What is known of a version when it is registered: its data, models, metrics and origin.

Everything is read from the workspace; what is not there is not known, and the cards say so.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fashion_ops.catalog.origin_names import WARDROBE, batch_of
from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.sources.batches import folders
from fashion_ops.errors.reading import read_json, read_table
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.files.uris import is_uri
from fashion_ops.params import Params
from fashion_ops.taxonomy import CATEGORIES
from fashion_ops.workspace import Workspace

GRADES = {  # DeepFashion2's, with the names of their values
    "scale": ("small", "moderate", "large"),
    "occlusion": ("slight", "medium", "heavy"),
    "zoom_in": ("none", "medium", "large"),
    "viewpoint": ("no wear", "frontal", "side or back"),
}
_SPEC, _WEIGHTS = "model.json", "*.safetensors"  # of ``methods.artifact``, which would load torch
_UNRELATED = {"distributed", "registration", "promote", "retrain", "batches", "drift", "notify"}
_LICENCES = ("LICENSE*", "LICENCE*", "License*", "license*")
_LONGEST_LINE = 200


@dataclass(frozen=True)
class DataSource:
    """A data set or a batch: its name, images, and the first line of its licence, "" if unknown."""

    name: str
    images: int
    licence: str
    is_synthetic: bool = False


@dataclass(frozen=True)
class DataFacts:
    """The catalog of a version.

    Attributes:
        sources: the data set of ``ingest.root``, then the batches.
        splits: images, photos without garments, garments and labelled landmarks by split.
        categories: by category, training and other garments, and the shares of landmarks that are
            visible, hidden and not labelled.
        grades: garments by grade and value; those without one are not counted.
        refused: records in the quarantine by reason.
    """

    sources: list[DataSource] = field(default_factory=list)
    splits: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    categories: dict[str, tuple[int, int, float, float, float]] = field(default_factory=dict)
    grades: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelPart:
    """One network of a version, from its ``model.json``; ``count`` of its kind, MB of all of them."""

    name: str
    method: str
    backbone: str
    count: int
    megabytes: float


@dataclass(frozen=True)
class CardFacts:
    """All that the cards of a version tell.

    Attributes:
        model: name of the registered model.
        origin: name of a fact, such as ``lineage``, and its value.
        params: the sections of params.yaml that the models and their evaluation depend on.
        split: that was evaluated.
        metrics: the content of metrics.json.
        subsets: grade, value, garments and AP of the refined landmarks on ground-truth boxes.
        also: metrics of further catalogs by name.
        reliability: the content of reliability.json.
        parts: the networks.
        data: the catalog.
    """

    model: str
    origin: Mapping[str, str]
    params: Mapping[str, Any]
    split: str
    metrics: Mapping[str, Any]
    subsets: list[tuple[str, str, int, float]]
    also: dict[str, Mapping[str, Any]]
    reliability: Mapping[str, Any]
    parts: list[ModelPart]
    data: DataFacts


def gather(params: Params, ws: Workspace, bundle: Path, origin: Mapping[str, str]) -> CardFacts:
    """Read the facts of a version that is about to be registered.

    Args:
        params: of the version.
        ws: workspace with catalog and evaluation.
        bundle: folder of its models.
        origin: lineage, commit and snapshot.

    Raises:
        ValueError: a file cannot be read.
    """
    catalog = _catalog(ws)
    others = sorted((ws.evaluation / "also").glob("*/metrics.json"))
    reliability = ws.evaluation / "reliability.json"
    return CardFacts(
        params.registration.model,
        origin,
        params.model_dump(mode="json", by_alias=True, exclude=_UNRELATED),
        params.evaluate.split,
        read_json(ws.evaluation / "metrics.json"),
        _subsets(catalog, ws.evaluation, params.evaluate.split) if catalog else [],
        {path.parent.name: read_json(path) for path in others},
        read_json(reliability) if reliability.is_file() else {},
        parts_of(bundle),
        data_of(params, ws) or DataFacts(),
    )


def _catalog(ws: Workspace) -> Catalog | None:
    return Catalog(ws.catalog) if (ws.catalog / "images.parquet").is_file() else None


def _subsets(catalog: Catalog, evaluation: Path, split: str) -> list[tuple[str, str, int, float]]:
    """AP of the refined landmarks on ground-truth boxes for the garments of each grade's values.

    Other garments count neither way. Empty without predictions.
    """
    path = evaluation / "predictions" / "truth_boxes" / "refined.parquet"
    if not path.is_file():
        return []
    predictions = read_table(path)
    images = catalog.images[catalog.images["split"] == split]
    garments = catalog.garments[catalog.garments["split"] == split]
    rows = []
    for grade, names in GRADES.items():
        for value, name in enumerate(names, 1):
            own = garments[garments[grade] == value]
            if own.empty:
                continue
            found = predictions[predictions["garment_id"].isin(own["garment_id"])]
            scores = score_landmarks(ground_truth(images, own), detections(found, images))
            rows.append((grade, name, len(own), float(scores.stats["AP"])))
    return rows


def parts_of(bundle: Path) -> list[ModelPart]:
    """The networks of a bundle; those of a kind, such as the 13 finetuned ones, are one row."""
    parts = []
    for name in ("detector", "box_detector", "landmarker", "finetuned", "refined", "dfa", "gle"):
        specs = sorted((bundle / name).rglob(_SPEC))
        contents = [c for path in specs if (c := _object(path)) and any(path.parent.glob(_WEIGHTS))]
        size = sum(p.stat().st_size for p in (bundle / name).rglob(_WEIGHTS))
        if contents:
            settings = contents[0].get("settings") or {}  # GLE's has the backbone
            backbone = str(contents[0].get("backbone") or settings.get("backbone", ""))
            method = str(contents[0].get("method", ""))
            parts.append(ModelPart(name, method, backbone, len(contents), size / 1e6))
    return parts


def _object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if it holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def data_of(params: Params, ws: Workspace) -> DataFacts | None:
    """The catalog of the workspace; None if it has none."""
    catalog = _catalog(ws)
    if catalog is None:
        return None
    images, garments = catalog.images, catalog.garments
    batches = images["file_name"].map(batch_of)
    roots = {f.name.partition("-")[0]: f for f in folders(ws.batches)}
    root = params.ingest.root
    local = None if is_uri(root) else ws.root / root
    own = int((batches == "").sum())
    sources = [source_of(_shown(root), own, local)] if own else []
    counts = batches[batches != ""].value_counts().sort_index()
    for batch, count in counts.items():
        folder = roots.get(str(batch).partition("-")[0])
        sources.append(source_of(f"batch {folder.name if folder else batch}", int(count), folder))
    return DataFacts(
        sources,
        {split: _split(images, garments, split) for split in sorted(images["split"].unique())},
        {c.name: _category(garments[garments["category_id"] == c.id]) for c in CATEGORIES},
        {
            grade: [(n, int((garments[grade] == v).sum())) for v, n in enumerate(names, 1)]
            for grade, names in GRADES.items()
        },
        {
            str(reason): int(n)
            for reason, n in catalog.quarantine.groupby("reason")["num_records"].sum().items()
            if n
        },
    )


def _shown(root: str) -> str:
    """A data set's address without what only this machine knows."""
    return root if is_uri(root) or not Path(root).is_absolute() else f".../{Path(root).name}"


def source_of(name: str, images: int, folder: Path | None) -> DataSource:
    """A data set, whose licence is the first line of a file LICENSE in its folder."""
    if folder is None or not folder.is_dir():
        return DataSource(name, images, "")
    if (folder / WARDROBE).is_file():
        said = "drawn by this program (synthetic wardrobe); no licence of others applies"
        return DataSource(name, images, said, True)
    for path in sorted({p for pattern in _LICENCES for p in folder.glob(pattern) if p.is_file()}):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        first = next((line.strip() for line in lines if line.strip()), "")
        return DataSource(name, images, first[:_LONGEST_LINE])
    return DataSource(name, images, "")


def _split(images: pd.DataFrame, garments: pd.DataFrame, split: str) -> tuple[int, int, int, int]:
    own, labelled = images[images["split"] == split], garments[garments["split"] == split]
    negatives = int((~own["image_id"].isin(labelled["image_id"])).sum())
    return len(own), negatives, len(labelled), int(labelled["num_labelled"].sum())


def _category(garments: pd.DataFrame) -> tuple[int, int, float, float, float]:
    train = int((garments["split"] == "train").sum())
    points = [np.asarray(v, float)[2::3] for v in garments["landmarks"]]
    visibility = np.concatenate(points) if points else np.zeros(0)
    shares = [float((visibility == v).mean()) if len(visibility) else 0.0 for v in (2, 1, 0)]
    return train, len(garments) - train, shares[0], shares[1], shares[2]
