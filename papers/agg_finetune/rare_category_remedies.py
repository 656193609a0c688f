"""Answers to the paper's open question: how to finetune a category with few garments.

``warm``: from the finetuned model of the nearest category in place of the universal one. ``joint``: one
model for all rare categories together. ``longer``: twice the epochs. ``held``: twice the epochs, and of
all epochs (the universal model among them) the one that does best on a held-out part of the category's
own training garments. Otherwise everything is as in the step ``finetune``.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import ImageChunks, TrainingGarments, load_garments
from fashion_ops.distributed.payload import pack_folder
from fashion_ops.evaluation.oks import oks
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import train_landmarker
from fashion_ops.params import Params
from fashion_ops.steps import finetune
from fashion_ops.steps.finetune import FinetuneJob
from fashion_ops.taxonomy import CATEGORIES, Category, category, load_grouping, sigmas
from fashion_ops.workspace import Workspace, publish
from papers.agg_finetune import runs
from papers.config import Request

ANSWERS = {
    "warm": "warm start from the nearest category",
    "joint": "one model for the rare categories",
    "longer": "twice the epochs",
    "held": "twice the epochs, stopped by held-out garments",
}
HELD_OUT = 0.2  # of a category's training garments
LONGER = 2


def train(answer: str, params: Params, request: Request, name: str, rare: Sequence[str]) -> Path:
    """The folder of a rare category's landmarker, finetuned in one of ``ANSWERS``' ways."""
    if answer == "longer":
        return runs.finetuned(longer(params, name), request, name)
    if answer == "joint":
        return joint(params, request, rare)
    if answer == "warm":
        return warm(params, request, name)
    return held(longer(params, name), request, name)


def nearest(name: str, counts: Sequence[int]) -> str:
    """The category with the most output channels in common, of those that either has.

    Of equals the commonest.

    Args:
        name: a category.
        counts: training garments of each category, in the order of ``CATEGORIES``.
    """
    mask = load_grouping("agg81").mask
    own = mask[category(name).id - 1]
    others = [c for c in CATEGORIES if c.name != name]

    def likeness(c: Category) -> tuple[float, int]:
        theirs = mask[c.id - 1]
        return (own & theirs).sum() / (own | theirs).sum(), counts[c.id - 1]

    return max(others, key=likeness).name


def longer(params: Params, name: str) -> Params:
    """Twice the epochs for one category's finetuning."""
    own = params.categories[name]
    run = {"lr": own.finetune.lr, "epochs": LONGER * own.finetune.epochs}
    return runs.changed(params, categories={name: {**own.model_dump(), "finetune": run}})


def warm(params: Params, request: Request, name: str) -> Path:
    """Finetuned from the nearest category's finetuned model."""
    rows = Catalog(request.ws.catalog).garments
    ids = rows.loc[rows["split"] == "train", "category_id"].to_numpy(np.int64)
    near = nearest(name, np.bincount(ids, minlength=len(CATEGORIES) + 1)[1:].tolist())
    ws, fresh = _prepared("warm", params, request, name, near)
    if fresh:
        job = finetune.prepare(params, ws, name)
        start = pack_folder(runs.finetuned(params, request, near))
        finetune.publish(ws, name, finetune.work(replace(job, landmarker=start)))
    return ws.finetuned(name)


def joint(params: Params, request: Request, rare: Sequence[str]) -> Path:
    """One model, finetuned on the garments of all rare categories; as long as the first's run."""
    ws, fresh = _prepared("joint", params, request, *rare)
    if fresh:
        job = finetune.prepare(params, ws, rare[0])
        garments = together([load_garments(ws, "train", only=name)[1] for name in rare])
        images = ImageChunks(Catalog(ws.catalog.resolve()), garments.image_id)
        job = replace(job, garments=garments, validation=None, images=images)
        finetune.publish(ws, rare[0], finetune.work(job))
    return ws.finetuned(rare[0])


def held(params: Params, request: Request, name: str) -> Path:
    """Finetuned on a part of the garments, and stopped where the rest of them is found best."""
    ws, fresh = _prepared("held", params, request, name)
    if fresh:
        job = finetune.prepare(params, ws, name)
        with publish(ws.finetuned(name)) as folder:
            train_held_out(job, request.ws, ws.landmarker, folder)
    return ws.finetuned(name)


def train_held_out(job: FinetuneJob, source: Workspace, start: Path, folder: Path) -> int:
    """Train, judge each epoch on held-out garments, write the best; returns the epochs it had.

    Args:
        job: of ``finetune.prepare``.
        source: whose catalog holds the images.
        start: the universal landmarker.
        folder: where the model goes; exists and is empty.
    """
    garments = job.garments
    order = np.random.default_rng(job.seed).permutation(len(garments))
    out = max(1, round(HELD_OUT * len(garments)))
    unseen, seen = garments.take(order[:out]), garments.take(order[out:])
    read = Catalog(source.catalog).image
    universal = LandmarkPredictor.load(start)
    model = universal.model
    assert isinstance(model, Landmarker)

    def judge() -> float:
        model.eval()
        value = mean_oks(universal, unseen, read)
        model.train()
        return value

    def weights() -> dict:
        return {name: value.detach().clone() for name, value in model.state_dict().items()}

    best = (judge(), 0, weights())

    def on_epoch(epoch: int, _: dict[str, float]) -> None:
        nonlocal best
        if (value := judge()) > best[0]:
            best = (value, epoch, weights())

    with tempfile.TemporaryDirectory() as scratch:
        train_landmarker(
            job.config,
            model,
            universal.spec,
            seen,
            read,
            Path(scratch),
            TrainerOptions(on_epoch=on_epoch),
            seed=job.seed,
        )
    model.load_state_dict(best[2])
    save_model(folder, model, {**universal.spec, "training": job.config.model_dump(mode="json")})
    return best[1]


def mean_oks(
    model: LandmarkPredictor, garments: TrainingGarments, read: Callable[[int], np.ndarray]
) -> float:
    """Mean OKS of a landmarker on labelled garments, in their own boxes.

    Args:
        model: in eval mode.
        garments: with grouped landmarks.
        read: image id -> RGB uint8.
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


def together(parts: Sequence[TrainingGarments]) -> TrainingGarments:
    """TrainingGarments of several categories as one set."""
    columns = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(TrainingGarments)
    }
    return TrainingGarments(**columns)


def _prepared(kind: str, params: Params, request: Request, *names: str) -> tuple[Workspace, bool]:
    """The workspace of a model, and whether it is still to be trained."""
    sections = (*runs.UNIVERSAL, "finetune", *(f"categories.{n}" for n in names))
    ws = runs.workspace(f"{kind}-{names[0]}", params, sections, request)
    if runs.done(ws.finetuned(names[0])):
        return ws, False
    runs.start_from(runs.universal(params, request), ws)
    return ws, True
