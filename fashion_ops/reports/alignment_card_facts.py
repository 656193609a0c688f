"""What is known of an alignment version when it is registered: its data, models, metrics and origin.

As ``card_facts`` for the landmark pipeline, whose parts the detector's are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fashion_ops.catalog.alignment.reader import AlignmentCatalog
from fashion_ops.params import Params
from fashion_ops.reports.card_facts import (
    DataFacts,
    DataSource,
    ModelPart,
    data_of,
    parts_of,
    source_of,
)
from fashion_ops.synthetic.alignment.generate import is_synthetic
from fashion_ops.taxonomy.alignment import CLOTHES_TYPES
from fashion_ops.workspace import Workspace

_SECTIONS = ("ingest_alignment", "register_alignment", "train_detector", "tune_postprocess")
_DRAWN = "drawn by this program (synthetic wardrobe); no licence of others applies"


@dataclass(frozen=True)
class AlignmentData:
    """The catalog that the method was trained on.

    Attributes:
        source: the data set.
        splits: garments, and labelled landmarks, by split.
        types: by clothes type, training and other garments, and the shares of their landmarks that are
            visible, occluded and not labelled.
        refused: records in the quarantine by reason.
    """

    source: DataSource
    splits: dict[str, tuple[int, int]]
    types: dict[str, tuple[int, int, float, float, float]]
    refused: dict[str, int]


@dataclass(frozen=True)
class AlignmentCardFacts:
    """All that the cards of an alignment version tell.

    Attributes:
        model: name of the registered model.
        method: ``dfa`` or ``gle``.
        origin: name of a fact, such as ``lineage``, and its value.
        params: the sections of params.yaml that the models depend on.
        split: that was evaluated.
        metrics: the content of metrics.json.
        parts: the networks.
        data: of the method.
        boxes: data of the detector; None where its catalog is not at hand.
    """

    model: str
    method: str
    origin: Mapping[str, str]
    params: Mapping[str, Any]
    split: str
    metrics: Mapping[str, Any]
    parts: list[ModelPart]
    data: AlignmentData
    boxes: DataFacts | None


def gather_alignment(
    params: Params,
    ws: Workspace,
    catalog: AlignmentCatalog,
    bundle: Path,
    metrics: Mapping[str, Any],
    origin: Mapping[str, str],
) -> AlignmentCardFacts:
    """Read the facts of an alignment version that is about to be registered.

    Args:
        params: of the version.
        ws: the workspace.
        catalog: that the method was trained on.
        bundle: folder of the models.
        metrics: of the version, with ``by_type`` and ``by_landmark``.
        origin: lineage, commit and snapshot.
    """
    config = params.register_alignment
    section = "dfa_stage" if config.method == "dfa" else "train_gle"
    known = params.model_dump(mode="json", by_alias=True, include={*_SECTIONS, section})
    return AlignmentCardFacts(
        config.model,
        config.method,
        origin,
        known,
        config.split,
        metrics,
        parts_of(bundle),
        _data(params, ws, catalog),
        data_of(params, ws),
    )


def _data(params: Params, ws: Workspace, catalog: AlignmentCatalog) -> AlignmentData:
    name = catalog.folder.name
    garments = catalog.garments[catalog.garments["clothes_type"] > 0]
    root = ws.root / params.ingest_alignment.root
    source = source_of(name, len(catalog.images), root / name)
    if root.is_dir() and is_synthetic(root):
        source = DataSource(name, len(catalog.images), _DRAWN, True)
    splits = {
        str(split): (len(rows), int(rows["num_labelled"].sum()))
        for split, rows in garments.groupby("split", sort=True)
    }
    types = {}
    for number_of_type, type_name in enumerate(CLOTHES_TYPES, 1):
        rows = garments[garments["clothes_type"] == number_of_type]
        train = int((rows["split"] == "train").sum())
        values = [np.asarray(v, float)[2::3] for v in rows["landmarks"]]
        visibility = np.concatenate(values) if values else np.zeros(0)
        shares = [float((visibility == v).mean()) if len(visibility) else 0.0 for v in (2, 1, 0)]
        types[type_name] = (train, len(rows) - train, shares[0], shares[1], shares[2])
    refused = catalog.quarantine.groupby("reason")["num_records"].sum()
    return AlignmentData(source, splits, types, {str(k): int(n) for k, n in refused.items() if n})
