"""Step ``register``: all models of the workspace as one version of one MLflow model: the challenger.

Registering the same models again makes no second version: the one that is there becomes challenger.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashion_ops import registry
from fashion_ops.ledger import Ledger
from fashion_ops.methods.pickles import refuse_pickles
from fashion_ops.params import BOX_DETECTOR, DETECTOR, Params
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace


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
        LedgerError: files are not those that ``dvc.lock`` tells of, or were not judged together.
    """
    if params.evaluate.boxes not in (DETECTOR, BOX_DETECTOR):
        raise ValueError(
            f"evaluate.boxes is {params.evaluate.boxes!r}: a registered model finds its own boxes and "
            f"must be judged with them; set it to {DETECTOR} or {BOX_DETECTOR} and run evaluate"
        )
    ledger = Ledger(ws.root)
    ledger.verify()
    client = registry.connect(ws.root)
    name, lineage = params.registration.model, ledger.digest()
    if known := registry.with_lineage(client, name, lineage):
        client.set_registered_model_alias(name, registry.CHALLENGER, known.version)
        return {"version": int(known.version), "new": False}
    metrics = json.loads((ws.evaluation / "metrics.json").read_text(encoding="utf-8"))
    all_tags = {
        registry.LINEAGE_TAG: lineage,
        "git_commit": registry.git_commit(ws.root),
        "dvc_lock_md5": registry.file_md5(ledger.lock_file),
        **(tags or {}),
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        bundle(params, ws, folder)
        version = registry.register(
            client, name, folder, metrics, params.model_dump(by_alias=True, mode="json"), all_tags
        )
    return {"version": int(version.version), "new": True}


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
