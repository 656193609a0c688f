"""Step ``register_alignment``: DFA or GLE and the detector become a version, the challenger.

The version is of the registered model ``register_alignment.model``, whichever method it holds, so that
GLE may succeed DFA through the gate. It keeps the garments that it was evaluated on (a split of the
catalog that the method was trained on, in labelled boxes) with its predictions, and what ``restore``
needs, and a model card and a data card. Registering the same models again makes no second version.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from fashion_ops.catalog.alignment.reader import AlignmentCatalog
from fashion_ops.errors.reading import read_table
from fashion_ops.evaluation.normalized_error import ne
from fashion_ops.inference.alignment_splits import TRAIN, open_catalog, score_positions
from fashion_ops.ledger import Ledger
from fashion_ops.methods.pickles import refuse_pickles
from fashion_ops.params import BOX_DETECTOR, Params
from fashion_ops.registry import client as registry
from fashion_ops.registry.alignment_measurements import SOURCE_TAG
from fashion_ops.registry.alignment_set import FROZEN_SET, AlignmentSet
from fashion_ops.registry.dead_runs import close_dead_runs
from fashion_ops.registry.origin import (
    check_lineage,
    known_version,
    origin_tags,
    take_snapshot,
    write_origin,
)
from fashion_ops.registry.restore import STAGES_TAG
from fashion_ops.reports.alignment_card_facts import gather_alignment
from fashion_ops.reports.alignment_cards import (
    alignment_data_card,
    alignment_description,
    alignment_model_card,
)
from fashion_ops.reports.cards import DATA_CARD, MODEL_CARD
from fashion_ops.taxonomy.alignment import CLOTHES_TYPES, POINT_SETS
from fashion_ops.workspace import Workspace

PREDICTIONS = "predictions.parquet"
MADE_FROM = {"dfa": "dfa_stage@3", "gle": "train_gle"}  # method -> stage that ends its chain
NOT_NEEDED = (PREDICTIONS, "estimates.safetensors", "clusters.png")  # to predict


@registry.failures_in_one_line()
def run(params: Params, ws: Workspace, tags: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Bundle the alignment model, its detector, ``params.yaml`` and ``dvc.lock``, and register them.

    Args:
        params: the parameters; ``register_alignment`` names model, method and split.
        ws: the workspace.
        tags: more tags for the version, such as the run that made it.

    Returns:
        ``version``: its number; ``new``: whether this call made it; ``NE``: of a new one.

    Raises:
        FileNotFoundError: the method, its catalog or the detector is missing.
        ValueError: the split has no garments, or the method predicted none of them.
        LedgerError: files differ from ``dvc.lock``, were made by code or parameters other than the
            present ones, or did not arrive at the remote.
        ServiceError: the registry or the remote does not answer.
        UnsafeModel: there is a pickle among the models.
    """
    config = params.register_alignment
    section = params.dfa_stage if config.method == "dfa" else params.train_gle
    setting = "dfa_stage.source" if config.method == "dfa" else "train_gle.source"
    catalog = open_catalog(ws, section.source, setting)
    frozen = AlignmentSet.of_split(catalog, config.split, _predictions(ws, config.method))
    client = registry.connect(ws.root, artifacts=True)
    boxes = params.evaluate.boxes == BOX_DETECTOR
    stages = [MADE_FROM[config.method], "train_box_detector" if boxes else "tune_postprocess"]
    ledger = Ledger(ws.root)
    lineage = check_lineage(ledger, stages)
    close_dead_runs(client)
    if known := known_version(client, config.model, lineage):
        return {"version": int(known.version), "new": False}
    commit = take_snapshot(ws.root, f"{config.model}: lineage {lineage}")
    all_tags = {
        **origin_tags(ledger, lineage, commit),
        STAGES_TAG: " ".join(stages),
        SOURCE_TAG: section.source,
        "method": config.method,
        **(tags or {}),
    }
    metrics = evaluate(catalog, frozen)
    with tempfile.TemporaryDirectory() as scratch:
        models, records = Path(scratch, "bundle"), Path(scratch, "records")
        copy_models(params, ws, models)
        written = models / "metrics.json"
        written.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        write_origin(ws.root, written, records, commit)
        frozen.write(records / FROZEN_SET)
        facts = gather_alignment(params, ws, catalog, models, metrics, all_tags)
        for folder in (models, records):
            (folder / MODEL_CARD).write_text(alignment_model_card(facts), encoding="utf-8")
            (folder / DATA_CARD).write_text(alignment_data_card(facts), encoding="utf-8")
        settings = params.model_dump(by_alias=True, mode="json")
        version = registry.register(client, config.model, models, records, metrics, settings, all_tags)
    registry.describe(client, version, alignment_description(facts, int(version.version)))
    return {"version": int(version.version), "new": True, "NE": metrics["NE"]}


def evaluate(catalog: AlignmentCatalog, frozen: AlignmentSet) -> dict[str, Any]:
    """NE of the predictions, and of the mean shapes of the training garments, in labelled boxes.

    NE is that of all visible landmarks, of those of each clothes type (``by_type``), and of each
    landmark (``by_landmark``); what has no visible landmark is left out.
    """
    train, rows = catalog.points(TRAIN), frozen.rows
    scores = score_positions(train, rows, frozen.points)
    far, mask = frozen.errors, frozen.counted
    by_type = {}
    for number, name in enumerate(CLOTHES_TYPES, 1):
        own = rows.clothes_type == number
        if mask[own].any():
            by_type[name] = {"garments": int(own.sum()), "NE": ne(far[own], mask[own]).macro}
    each = zip(POINT_SETS["fld8"].point_names, ne(far, mask).per_point.tolist(), strict=True)
    return {
        **scores,
        "garments": float(len(frozen.garments)),
        "train": float(len(train)),
        "by_type": by_type,
        "by_landmark": {name: value for name, value in each if value == value},
    }


def copy_models(params: Params, ws: Workspace, folder: Path) -> None:
    """Copy what predicts, ``params.yaml`` and ``dvc.lock`` into the new ``folder``.

    Raises:
        FileNotFoundError: a model is missing.
        UnsafeModel: there is a pickle among the models.
    """
    method = params.register_alignment.method
    source = ws.detector.parent / method
    shutil.copytree(source, folder / method, ignore=shutil.ignore_patterns(*NOT_NEEDED))
    if params.evaluate.boxes == BOX_DETECTOR:
        shutil.copytree(ws.box_detector, folder / "box_detector")
    else:
        shutil.copytree(ws.detector, folder / "detector")
        shutil.copytree(ws.postprocess, folder / "postprocess")
    for path in (ws.params, ws.root / "dvc.lock"):
        shutil.copy(path, folder / path.name)
    refuse_pickles(folder)


def _predictions(ws: Workspace, method: str) -> pd.DataFrame:
    """The predictions of all splits that the step of a method wrote.

    Raises:
        FileNotFoundError: there are none.
    """
    folder = ws.dfa("3") if method == "dfa" else ws.gle
    tables = [read_table(path) for path in sorted(folder.glob(f"**/{PREDICTIONS}"))]
    if not tables:
        step = MADE_FROM[method].partition("@")[0]
        raise FileNotFoundError(f"{folder}: no predictions here; `fashion-ops {step}` makes them")
    return pd.concat(tables, ignore_index=True)
