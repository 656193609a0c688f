"""The models that the tables compare, each trained once and kept.

A model is decided by some sections of the parameters and by the catalog; its folder below
``.checkpoints/agg-finetune`` is named after them. One that is there is not trained again, and one that
the workspace's own parameters ask for is the workspace's own, if its step was run.
"""

import hashlib
from pathlib import Path
from typing import Any

from fashion_ops.methods.artifact import SPEC
from fashion_ops.methods.detection.inference import holds_detector
from fashion_ops.params import Params
from fashion_ops.steps import aggregate, finetune, pseudo_label, train_box_detector, train_landmarker
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace
from papers.config import Request

UNIVERSAL = ("seed", "aggregate", "pseudo_label", "train_landmarker")
BOXES = ("seed", "train_box_detector")


def changed(params: Params, **sections: Any) -> Params:
    """The parameters with keys of some sections changed; ``seed`` is a section of its own."""
    values = params.model_dump(by_alias=True)
    for name, own in sections.items():
        values[name] = values[name] | own if isinstance(own, dict) else own
    return Params.model_validate(values)


def shorter(request: Request) -> Params:
    """The request's parameters with runs as long as it asks for."""
    if request.epochs is None:
        return request.params
    run = {"epochs": request.epochs, "lr_steps": None}
    categories = {
        name: {**own.model_dump(), "finetune": {"lr": own.finetune.lr, "epochs": request.epochs}}
        for name, own in request.params.categories.items()
    }
    return changed(request.params, train_landmarker=run, train_box_detector=run, categories=categories)


def universal(params: Params, request: Request) -> Workspace:
    """A workspace whose ``landmarker`` has these parameters."""
    if _decisive(params, UNIVERSAL) == _decisive(request.params, UNIVERSAL) and done(
        request.ws.landmarker
    ):
        return request.ws
    ws = workspace("universal", params, UNIVERSAL, request)
    if not done(ws.landmarker):
        for step in (aggregate, pseudo_label, train_landmarker):
            step.run(params, ws)
    return ws


def finetuned(params: Params, request: Request, category: str) -> Path:
    """The folder of one category's finetuned landmarker."""
    start, sections = universal(params, request), (*UNIVERSAL, "finetune", f"categories.{category}")
    same = _decisive(params, sections) == _decisive(request.params, sections)
    if start == request.ws and same and done(request.ws.finetuned(category)):
        return request.ws.finetuned(category)
    ws = workspace("finetuned", params, sections, request)
    if not done(ws.finetuned(category)):
        start_from(start, ws)
        finetune.run(params, ws, category)
    return ws.finetuned(category)


def start_from(start: Workspace, ws: Workspace) -> None:
    """Give a workspace the universal landmarker of another, and the labels it was trained on."""
    _link(start.grouped, ws.grouped)
    _link(start.landmarker, ws.landmarker)


def all_finetuned(params: Params, request: Request) -> dict[str, Path]:
    """The folders of all 13."""
    return {name: finetuned(params, request, name) for name in CATEGORY_NAMES}


def box_detector(params: Params, request: Request) -> Path:
    """The folder of a Cascade R-CNN or HTC with these parameters."""
    own = request.ws.box_detector
    if _decisive(params, BOXES) == _decisive(request.params, BOXES) and holds_detector(own):
        return own
    ws = workspace(str(params.train_box_detector.kind), params, BOXES, request)
    if not done(ws.box_detector):
        train_box_detector.run(params, ws)
    return ws.box_detector


def done(folder: Path) -> bool:
    """Whether there is a model: steps publish a folder whole or not at all."""
    return (folder / SPEC).is_file()


def _decisive(params: Params, sections: tuple[str, ...]) -> str:
    """What decides a result, without what is as it would be by default."""
    names = {name.partition(".")[0] for name in sections}
    values = params.model_dump(include=names, exclude_defaults=True)
    for name in sections:
        if category := name.partition(".")[2]:
            values["categories"] = params.categories[category].finetune.model_dump()
    return repr(sorted((name, repr(value)) for name, value in values.items()))


def workspace(kind: str, params: Params, sections: tuple[str, ...], request: Request) -> Workspace:
    """A workspace with the request's catalog, named after what decides its model.

    Args:
        kind: first part of the name.
        params: all of them.
        sections: those that decide; ``categories.NAME`` is that category's finetuning.
        request: whose catalog.
    """
    garments = (request.ws.catalog / "garments.parquet").read_bytes()
    decisive = _decisive(params, sections)
    digest = hashlib.sha256(decisive.encode() + garments).hexdigest()[:12]
    ws = Workspace(request.ws.checkpoints / "agg-finetune" / f"{kind}-{digest}")
    _link(request.ws.catalog, ws.catalog)
    return ws


def _link(there: Path, here: Path) -> None:
    here.parent.mkdir(parents=True, exist_ok=True)
    if not here.exists():
        here.symlink_to(there.resolve(), target_is_directory=True)
