"""Step ``register``: all models of the workspace become one MLflow model version, the challenger.

Registering the same models again makes no second version: the existing one becomes challenger. The
version also keeps the frozen evaluation set, what ``restore`` needs, and a model card and a data card
(``reports.cards``); the data are pushed to DVC's default remote, if there is one.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashion_ops.catalog.reader import Catalog
from fashion_ops.errors.reading import read_object
from fashion_ops.inference.hardware_record import evaluated_on
from fashion_ops.ledger import Ledger
from fashion_ops.methods.pickles import refuse_pickles
from fashion_ops.params import BOX_DETECTOR, DETECTOR, Params
from fashion_ops.registry import client as registry
from fashion_ops.registry.checks import CHECKS_FILE, blocking_checks
from fashion_ops.registry.dead_runs import close_dead_runs
from fashion_ops.registry.frozen_set import FROZEN_SET, FrozenSet, read_predictions
from fashion_ops.registry.origin import (
    check_lineage,
    known_version,
    origin_tags,
    take_snapshot,
    write_origin,
)
from fashion_ops.reports.card_facts import CardFacts, gather
from fashion_ops.reports.cards import DATA_CARD, MODEL_CARD, data_card, description, model_card
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace

EVALUATED = "evaluate"  # a version consists of this stage and those that it depends on


@registry.failures_in_one_line()
def run(params: Params, ws: Workspace, tags: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Bundle the models with ``params.yaml`` and ``dvc.lock``, and register them.

    Args:
        params: the parameters.
        ws: the workspace.
        tags: more tags for the version, such as the run that made it.

    Returns:
        ``version``: its number; ``new``: whether this call made it.

    Raises:
        ValueError: ``evaluate.boxes`` is a file, so the models were evaluated with boxes that they do
            not predict.
        LedgerError: files differ from ``dvc.lock``, were not evaluated together, were made by code or
            parameters other than the present ones, or did not arrive at the remote.
        ServiceError: the registry or the remote does not answer.
        UnsafeModel: there is a pickle among the models.
    """
    if params.evaluate.boxes not in (DETECTOR, BOX_DETECTOR):
        raise ValueError(
            f"evaluate.boxes is {params.evaluate.boxes!r}: a registered model predicts its own boxes "
            f"and must be evaluated with them; set it to {DETECTOR} or {BOX_DETECTOR} and run evaluate"
        )
    ledger = Ledger(ws.root)
    client = registry.connect(ws.root, artifacts=True)  # before what takes long
    lineage = check_lineage(ledger, [EVALUATED])
    close_dead_runs(client)
    name = params.registration.model
    if known := known_version(client, name, lineage):
        return {"version": int(known.version), "new": False}
    metrics = read_object(ws.evaluation / "metrics.json")
    commit = take_snapshot(ws.root, f"{name}: lineage {lineage}")
    all_tags = {**origin_tags(ledger, lineage, commit), **(tags or {})}
    with tempfile.TemporaryDirectory() as scratch:
        models, records = Path(scratch) / "bundle", Path(scratch) / "records"
        copy_models(params, ws, models)
        write_origin(ws.root, ws.evaluation / "metrics.json", records, commit)
        write_evaluation(params, ws, records)
        facts = gather(params, ws, models, all_tags)
        write_cards(facts, models, records)
        version = registry.register(
            client,
            name,
            models,
            records,
            metrics,
            params.model_dump(by_alias=True, mode="json"),
            all_tags,
        )
    registry.describe(client, version, description(facts, int(version.version)))
    return {"version": int(version.version), "new": True}


def write_evaluation(params: Params, ws: Workspace, folder: Path) -> None:
    """Write what the gate of ``promote`` reads: the frozen set and the results of blocking checks.

    Args:
        params: ``evaluate`` names the split.
        ws: workspace with catalog and evaluation.
        folder: existing folder for the records.
    """
    predictions = read_predictions(ws.evaluation)
    split, hardware = params.evaluate.split, evaluated_on(ws)
    frozen = FrozenSet.of_split(Catalog(ws.catalog), split, predictions, hardware)
    frozen.write(folder / FROZEN_SET)
    checks = json.dumps(blocking_checks(params, ws), indent=1)
    (folder / CHECKS_FILE).write_text(checks + "\n", encoding="utf-8")


def write_cards(facts: CardFacts, *folders: Path) -> None:
    """Write the model card and the data card into each folder: the models' and the records'."""
    for folder in folders:
        (folder / MODEL_CARD).write_text(model_card(facts), encoding="utf-8")
        (folder / DATA_CARD).write_text(data_card(facts), encoding="utf-8")


def copy_models(params: Params, ws: Workspace, folder: Path) -> None:
    """Copy all models, ``params.yaml``, ``dvc.lock`` and ``metrics.json`` into the new ``folder``.

    The box detector is included only if the models were evaluated with its boxes.

    Raises:
        FileNotFoundError: a model is missing.
        UnsafeModel: there is a pickle among the models.
    """
    shutil.copytree(ws.detector, folder / "detector")
    shutil.copytree(ws.postprocess, folder / "postprocess")
    if params.evaluate.boxes == BOX_DETECTOR:
        shutil.copytree(ws.box_detector, folder / "box_detector")
    shutil.copytree(ws.landmarker, folder / "landmarker")
    for category in CATEGORY_NAMES:
        shutil.copytree(ws.finetuned(category), folder / "finetuned" / category)
        shutil.copytree(ws.refined(category), folder / "refined" / category)
    for path in (ws.params, ws.root / "dvc.lock", ws.evaluation / "metrics.json"):
        shutil.copy(path, folder / path.name)
    refuse_pickles(folder)
