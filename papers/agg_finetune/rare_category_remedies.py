"""Remedies for the paper's open question: how to finetune a category with few garments.

``warm`` starts from the finetuned model of the nearest category instead of the universal one. ``joint``
trains one model for all rare categories together. ``longer`` trains twice the epochs. ``held`` trains
twice the epochs and keeps the epoch (or the universal model) with the best OKS on a held-out part of
the category's training garments. Everything else is as in the step ``finetune``.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import ImageChunks, TrainingGarments, load_garments
from fashion_ops.distributed.payload import pack_folder
from fashion_ops.evaluation.oks import oks
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.parts.device import select_device
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import train_landmarker
from fashion_ops.params import Params
from fashion_ops.steps import finetune
from fashion_ops.steps.finetune import FinetuneJob
from fashion_ops.taxonomy import CATEGORIES, Category, category, load_grouping, sigmas
from fashion_ops.workspace import Workspace, publish
from papers import landmarker_runs as runs
from papers.config import TableConfig

REMEDIES = {
    "warm": "warm start from the nearest category",
    "joint": "one model for the rare categories",
    "longer": "twice the epochs",
    "held": "twice the epochs, stopped by held-out garments",
}
HELD_OUT = 0.2  # of a category's training garments
LONGER = 2


def train(remedy: str, params: Params, config: TableConfig, name: str, rare: Sequence[str]) -> Path:
    """The folder of a rare category's landmarker, finetuned with one of ``REMEDIES``."""
    if remedy == "longer":
        return runs.finetuned(longer(params, name), config, name)
    if remedy == "joint":
        return joint(params, config, rare)
    if remedy == "warm":
        return warm(params, config, name)
    return held(longer(params, name), config, name)


def nearest(name: str, counts: Sequence[int]) -> str:
    """The other category with the largest share of output channels in common.

    The share is the intersection over the union of both categories' channels in grouping ``agg81``. Of
    equal shares the category with more training garments counts.

    Args:
        name: a category.
        counts: training garments of each category, in the order of ``CATEGORIES``.
    """
    mask = load_grouping("agg81").mask
    channels = mask[category(name).id - 1]
    others = [c for c in CATEGORIES if c.name != name]

    def similarity(other: Category) -> tuple[float, int]:
        theirs = mask[other.id - 1]
        return (channels & theirs).sum() / (channels | theirs).sum(), counts[other.id - 1]

    return max(others, key=similarity).name


def longer(params: Params, name: str) -> Params:
    """The parameters with twice the epochs for one category's finetuning."""
    both = params.categories[name]
    run = {"lr": both.finetune.lr, "epochs": LONGER * both.finetune.epochs}
    return runs.with_changes(params, categories={name: {**both.model_dump(), "finetune": run}})


def warm(params: Params, config: TableConfig, name: str) -> Path:
    """Remedy ``warm``: finetune from the nearest category's finetuned model; returns the folder."""
    rows = Catalog(config.ws.catalog).garments
    ids = rows.loc[rows["split"] == "train", "category_id"].to_numpy(np.int64)
    near = nearest(name, np.bincount(ids, minlength=len(CATEGORIES) + 1)[1:].tolist())
    ws, untrained = _prepared("warm", params, config, name, near)
    if untrained:
        job = finetune.prepare(params, ws, name)
        start = pack_folder(runs.finetuned(params, config, near))
        finetune.publish(ws, name, finetune.work(replace(job, landmarker=start)))
    return ws.finetuned(name)


def joint(params: Params, config: TableConfig, rare: Sequence[str]) -> Path:
    """Remedy ``joint``: finetune one model on all rare categories, with the first one's settings."""
    ws, untrained = _prepared("joint", params, config, *rare)
    if untrained:
        job = finetune.prepare(params, ws, rare[0])
        garments = TrainingGarments.concatenate(
            [load_garments(ws, "train", only=name)[1] for name in rare]
        )
        images = ImageChunks(Catalog(ws.catalog.resolve()), garments.image_id)
        job = replace(job, garments=garments, validation=None, images=images)
        finetune.publish(ws, rare[0], finetune.work(job))
    return ws.finetuned(rare[0])


def held(params: Params, config: TableConfig, name: str) -> Path:
    """Remedy ``held``: finetune on a part of the garments and keep the best epoch on the others."""
    ws, untrained = _prepared("held", params, config, name)
    if untrained:
        job = finetune.prepare(params, ws, name)
        with publish(ws.finetuned(name)) as folder:
            train_held_out(job, config.ws, ws.landmarker, folder)
    return ws.finetuned(name)


def train_held_out(job: FinetuneJob, source: Workspace, start: Path, folder: Path) -> int:
    """Train, evaluate each epoch on held-out garments and write the best model.

    Args:
        job: of ``finetune.prepare``.
        source: workspace whose catalog holds the images.
        start: folder of the universal landmarker.
        folder: existing, empty folder for the model.

    Returns:
        The number of epochs that the best model was trained; 0 is the universal landmarker.
    """
    garments = job.garments
    order = np.random.default_rng(job.seed).permutation(len(garments))
    out = max(1, round(HELD_OUT * len(garments)))
    held_out, training_garments = garments.take(order[:out]), garments.take(order[out:])
    read = Catalog(source.catalog).image
    universal = LandmarkPredictor.load(start, select_device(job.device))
    model = universal.model
    assert isinstance(model, Landmarker)

    def evaluate() -> float:
        model.eval()
        here = replace(universal, device=next(model.parameters()).device)  # training moves the model
        value = mean_oks(here, held_out, read)
        model.train()
        return value

    def weights() -> dict:
        return {name: value.detach().clone() for name, value in model.state_dict().items()}

    best = (evaluate(), 0, weights())

    def on_epoch(epoch: int, _: dict[str, float]) -> None:
        nonlocal best
        if (value := evaluate()) > best[0]:
            best = (value, epoch, weights())

    with tempfile.TemporaryDirectory() as scratch:
        train_landmarker(
            job.config,
            model,
            universal.spec,
            training_garments,
            read,
            Path(scratch),
            TrainerOptions(
                device=job.device,
                loader_workers=job.loader_workers,
                compile=job.compile,
                on_epoch=on_epoch,
            ),
            seed=job.seed,
        )
    model.load_state_dict(best[2])
    save_model(folder, model, {**universal.spec, "training": job.config.model_dump(mode="json")})
    return best[1]


def mean_oks(
    model: LandmarkPredictor, garments: TrainingGarments, read: Callable[[int], np.ndarray]
) -> float:
    """Mean OKS of a landmarker's predictions in the labelled boxes of garments.

    Args:
        model: in evaluation mode.
        garments: with grouped landmarks.
        read: image id -> RGB uint8 (H, W, 3).
    """
    poses = model.predict(read, garments.image_id, garments.boxes, garments.category_id)
    values = []
    for pose, truth, box, kind in zip(
        poses, garments.landmarks, garments.boxes, garments.category_id, strict=True
    ):
        labels = model.grouping.ungroup(int(kind), truth)
        area = np.prod(box[2:] - box[:2])
        values.append(oks(pose[:, :2], labels, area, sigmas()[category(int(kind)).slots]))
    return float(np.nanmean(values))


def _prepared(kind: str, params: Params, config: TableConfig, *names: str) -> tuple[Workspace, bool]:
    """The workspace of a model, and whether the model has yet to be trained."""
    sections = (*runs.UNIVERSAL, "finetune", *(f"categories.{n}" for n in names))
    ws = runs.workspace(f"{kind}-{names[0]}", params, sections, config)
    if runs.is_trained(ws.finetuned(names[0])):
        return ws, False
    runs.link_universal(runs.universal(params, config), ws)
    return ws, True
