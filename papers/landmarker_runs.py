"""The models that the tables compare, each trained once and kept.

Some sections of the parameters and the catalog decide a model; its folder below
``.checkpoints/agg-finetune`` is named after a hash of them. A model that exists is not trained again.
Where the parameters are those of the workspace, the workspace's own model is used, if its step was run.
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
from papers.config import TableConfig

UNIVERSAL = ("seed", "aggregate", "pseudo_label", "train_landmarker")
BOXES = ("seed", "train_box_detector")


def with_changes(params: Params, **sections: Any) -> Params:
    """The parameters with some keys of some sections changed; ``seed`` counts as a section."""
    values = params.model_dump(by_alias=True)
    for name, value in sections.items():
        values[name] = values[name] | value if isinstance(value, dict) else value
    return Params.model_validate(values)


def with_epochs(config: TableConfig) -> Params:
    """The parameters with training runs of ``config.epochs`` epochs, if that is set."""
    if config.epochs is None:
        return config.params
    run = {"epochs": config.epochs, "lr_steps": None}
    categories = {
        name: {**runs.model_dump(), "finetune": {"lr": runs.finetune.lr, "epochs": config.epochs}}
        for name, runs in config.params.categories.items()
    }
    return with_changes(
        config.params, train_landmarker=run, train_box_detector=run, categories=categories
    )


def universal(params: Params, config: TableConfig) -> Workspace:
    """A workspace whose ``landmarker`` was trained with these parameters; trains it if missing."""
    if _decisive(params, UNIVERSAL) == _decisive(config.params, UNIVERSAL) and is_trained(
        config.ws.landmarker
    ):
        return config.ws
    ws = workspace("universal", params, UNIVERSAL, config)
    if not is_trained(ws.landmarker):
        for step in (aggregate, pseudo_label, train_landmarker):
            step.run(params, ws)
    return ws


def finetuned(params: Params, config: TableConfig, category: str) -> Path:
    """The folder of a category's landmarker finetuned with these parameters; trains it if missing."""
    start, sections = universal(params, config), (*UNIVERSAL, "finetune", f"categories.{category}")
    same = _decisive(params, sections) == _decisive(config.params, sections)
    if start == config.ws and same and is_trained(config.ws.finetuned(category)):
        return config.ws.finetuned(category)
    ws = workspace("finetuned", params, sections, config)
    if not is_trained(ws.finetuned(category)):
        link_universal(start, ws)
        finetune.run(params, ws, category)
    return ws.finetuned(category)


def link_universal(source: Workspace, ws: Workspace) -> None:
    """Link another workspace's universal landmarker and its training labels into ``ws``."""
    _link(source.grouped, ws.grouped)
    _link(source.landmarker, ws.landmarker)


def all_finetuned(params: Params, config: TableConfig) -> dict[str, Path]:
    """The folders of the finetuned landmarkers of all 13 categories."""
    return {name: finetuned(params, config, name) for name in CATEGORY_NAMES}


def box_detector(params: Params, config: TableConfig) -> Path:
    """The folder of a Cascade R-CNN or HTC trained with these parameters; trains it if missing."""
    folder = config.ws.box_detector
    if _decisive(params, BOXES) == _decisive(config.params, BOXES) and holds_detector(folder):
        return folder
    ws = workspace(str(params.train_box_detector.kind), params, BOXES, config)
    if not is_trained(ws.box_detector):
        train_box_detector.run(params, ws)
    return ws.box_detector


def is_trained(folder: Path) -> bool:
    """Whether a folder holds a model; steps publish a folder whole or not at all."""
    return (folder / SPEC).is_file()


def is_interrupted(ws: Workspace) -> bool:
    """Whether a training of a workspace has stopped and will go on from its checkpoint.

    What the earlier part of it cost is not known then.
    """
    return any(path.is_file() for path in ws.checkpoints.glob("**/*"))


def _decisive(params: Params, sections: tuple[str, ...]) -> str:
    """The values of the sections that decide a result, as text; defaults are left out."""
    names = {name.partition(".")[0] for name in sections}
    values = params.model_dump(include=names, exclude_defaults=True)
    for name in sections:
        if category := name.partition(".")[2]:
            own = params.categories[category]
            values["categories"] = (own if "refine" in names else own.finetune).model_dump()
    return repr(sorted((name, repr(value)) for name, value in values.items()))


def workspace(kind: str, params: Params, sections: tuple[str, ...], config: TableConfig) -> Workspace:
    """A workspace with the config's catalog, in a folder named after what decides its model.

    Args:
        kind: first part of the folder's name.
        params: all parameters.
        sections: the sections that decide the model; ``categories.NAME`` is a category's finetuning.
        config: of the workspace with the catalog.
    """
    garments = (config.ws.catalog / "garments.parquet").read_bytes()
    decisive = _decisive(params, sections)
    digest = hashlib.sha256(decisive.encode() + garments).hexdigest()[:12]
    ws = Workspace(config.ws.checkpoints / "agg-finetune" / f"{kind}-{digest}")
    _link(config.ws.catalog, ws.catalog)
    return ws


def _link(target: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to(target.resolve(), target_is_directory=True)
