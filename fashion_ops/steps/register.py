"""Step ``register``: all models of the workspace as one version of one MLflow model: the challenger.

Registering the same models again makes no second version: the one that is there becomes challenger.
With the models go what they were judged by, and what ``restore`` needs to bring their making back; the
data go to DVC's default remote, where there is one.
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashion_ops.catalog.reader import Catalog
from fashion_ops.ledger import Ledger, LedgerError, push
from fashion_ops.methods.pickles import refuse_pickles
from fashion_ops.params import BOX_DETECTOR, DETECTOR, Params
from fashion_ops.registry import client as registry
from fashion_ops.registry import snapshot
from fashion_ops.registry.checks import blocking_checks
from fashion_ops.registry.frozen_set import CHECKS, SHARD, read_evaluation, shard_of
from fashion_ops.registry.restore import CODE_BUNDLE, ENVIRONMENT, SNAPSHOT_TAG, write_environment
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace

log = logging.getLogger(__name__)

JUDGED = "evaluate"  # what is made after it or apart from it is not in the models


def run(params: Params, ws: Workspace, tags: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Bundle the models with ``params.yaml`` and ``dvc.lock``, and register them.

    Args:
        params: the parameters.
        ws: the workspace.
        tags: more tags for the version, such as the run that made it.

    Returns:
        version: its number; new: whether it was made now.

    Raises:
        ValueError: the system was judged with boxes that no model of it finds.
        LedgerError: files are not those that ``dvc.lock`` tells of, were not judged together, were made
            by other code or parameters than are there now, or did not arrive at the remote.
    """
    if params.evaluate.boxes not in (DETECTOR, BOX_DETECTOR):
        raise ValueError(
            f"evaluate.boxes is {params.evaluate.boxes!r}: a registered model finds its own boxes and "
            f"must be judged with them; set it to {DETECTOR} or {BOX_DETECTOR} and run evaluate"
        )
    ledger = Ledger(ws.root)
    ledger.verify(JUDGED)
    if changes := ledger.changes(JUDGED):
        told = "; ".join(f"{stage}: {', '.join(why)}" for stage, why in list(changes.items())[:3])
        raise LedgerError(
            f"{ledger.lock_file}: `dvc status` is not clean, so this version could never be brought "
            f"back as it is ({told}). Run `dvc repro` first"
        )
    push(ledger)
    client = registry.connect(ws.root)
    name, lineage = params.registration.model, ledger.digest(JUDGED)
    if known := registry.with_lineage(client, name, lineage):
        client.set_registered_model_alias(name, registry.CHALLENGER, known.version)
        return {"version": int(known.version), "new": False}
    metrics = json.loads((ws.evaluation / "metrics.json").read_text(encoding="utf-8"))
    snapped = _snapshot(ws.root, f"{name}: lineage {lineage}")
    all_tags = {
        registry.LINEAGE_TAG: lineage,
        "git_commit": snapshot.head(ws.root),
        "dvc_lock_md5": registry.file_md5(ledger.lock_file),
        **({SNAPSHOT_TAG: snapped} if snapped else {}),
        **(tags or {}),
    }
    with tempfile.TemporaryDirectory() as scratch:
        models, records = Path(scratch) / "bundle", Path(scratch) / "records"
        bundle(params, ws, models)
        record(ws, records, snapped)
        record_judgement(params, ws, records)
        version = registry.register(
            client,
            name,
            models,
            records,
            metrics,
            params.model_dump(by_alias=True, mode="json"),
            all_tags,
        )
    return {"version": int(version.version), "new": True}


def _snapshot(root: Path, message: str) -> str | None:
    """The commit to restore from; without git there is none, and the version can't be restored."""
    try:
        return snapshot.take(root, message)
    except snapshot.SnapshotError as error:
        log.warning("this version can't be restored: %s", error)
        return None


def record(ws: Workspace, folder: Path, snapped: str | None) -> None:
    """What is to be known of a version beside its models."""
    folder.mkdir()
    for path in (ws.root / "dvc.lock", ws.evaluation / "metrics.json"):
        shutil.copy(path, folder / path.name)
    write_environment(folder / ENVIRONMENT)
    if snapped:
        snapshot.pack(ws.root, snapped, folder / CODE_BUNDLE)


def record_judgement(params: Params, ws: Workspace, folder: Path) -> None:
    """What the gate will judge by: the shard with its predictions, and the blocking checks."""
    predictions = read_evaluation(ws.evaluation)
    shard_of(Catalog(ws.catalog), params.evaluate.split, predictions).write(folder / SHARD)
    found = json.dumps(blocking_checks(params, ws), indent=1)
    (folder / CHECKS).write_text(found + "\n", encoding="utf-8")


def bundle(params: Params, ws: Workspace, folder: Path) -> None:
    """Copy all models and what tells of their making into a new folder.

    The box detector is among them if it is the one that the system was judged with.

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
