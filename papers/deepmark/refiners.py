"""DeepMark++'s refiners (4.2.2): a PoseFix for each category, trained on CenterNet's own outputs.

The detector predicts the training images as it predicts the evaluated ones. A refiner's input poses
are its detections of the labelled garments, and synthetic errors at the rates of these detections.
The control is the same network, trained equally long on the same crops, without any pose: what it
gains is what a second network on crops gains.

Detections and models are below ``.checkpoints/deepmark-table4``. What is finished is not made again,
and an interrupted training resumes.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import pandas as pd

from fashion_ops.catalog.training_data import TrainingGarments, load_garments, used_grouping
from fashion_ops.errors.reading import read_table
from fashion_ops.methods.artifact import SPEC, WEIGHTS
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.methods.posefix.data import RefinerData
from fashion_ops.methods.posefix.detected import match_poses
from fashion_ops.methods.posefix.training import refine_config, train_refiner
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.progress import track
from fashion_ops.taxonomy import CATEGORIES, Category
from fashion_ops.workspace import publish, write_whole
from papers.config import TableConfig
from papers.decode_variants import detect_variants
from papers.evaluation_set import EvaluationSet, open_catalog

POSE, CONTROL = "pose", "control"


def missing_landmarkers(config: TableConfig) -> list[str]:
    """Names of the categories without a finetuned landmarker, whose crops a refiner shares."""
    return [c.name for c in CATEGORIES if not (config.ws.finetuned(c.name) / SPEC).is_file()]


def train_refiners(
    config: TableConfig, detector: Detector, evaluated: EvaluationSet
) -> dict[str, dict[int, Path]]:
    """Train the refiners and the controls that are missing.

    Args:
        config: ``epochs`` replaces the length of each run.
        detector: whose outputs are refined, with its post-processing.
        evaluated: gives the catalog.

    Returns:
        ``POSE`` and ``CONTROL`` -> category id -> folder of the model, for each category with training
        garments.
    """
    root = config.ws.checkpoints / "deepmark-table4" / _digest(config, detector)
    jobs = []
    for c in CATEGORIES:
        _, garments = load_garments(config.ws, "train", only=c.name)
        if len(garments):
            jobs += [(kind, c, garments, root / kind / c.name) for kind in (POSE, CONTROL)]
    waiting = [job for job in jobs if not (job[3] / SPEC).is_file()]
    if waiting:
        detections = _detect_training_images(config, detector, evaluated)
        for kind, c, garments, folder in track(waiting, "refiners"):
            _train(config, kind, c, garments, detections, folder)
    found: dict[str, dict[int, Path]] = {POSE: {}, CONTROL: {}}
    for kind, c, _, folder in jobs:
        found[kind][c.id] = folder
    return found


def _detect_training_images(
    config: TableConfig, detector: Detector, evaluated: EvaluationSet
) -> pd.DataFrame:
    """The detections on the split ``train``, as ``schemas.PREDICTIONS``."""
    images, most = evaluated.catalog.images, config.params.evaluate.max_detections
    digest = _hash_files(config, [config.ws.detector], f"{most} {detector.post.model_dump_json()}")
    file = config.ws.checkpoints / "deepmark-table4" / f"detections-{digest}.parquet"
    if not file.is_file():
        train = replace(evaluated, images=images[images["split"] == "train"])
        table = detect_variants(detector, {"train": detector.post}, train, most)["train"]
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, table.to_parquet(index=False))
    return read_table(file)


def _train(
    config: TableConfig,
    kind: str,
    c: Category,
    garments: TrainingGarments,
    detections: pd.DataFrame,
    folder: Path,
) -> None:
    """Train one refiner or control and write its folder as a whole."""
    params, ws = config.params, config.ws
    landmarker = LandmarkPredictor.load(ws.finetuned(c.name), config.device)
    run = params.categories[c.name].refine
    if config.epochs is not None:
        run = run.model_copy(update={"epochs": config.epochs})
    data = RefinerData(
        garments.regrouped(used_grouping(ws), landmarker.grouping),
        open_catalog(config).image,
        match_poses(garments, detections, c.num_landmarks),
        takes_pose=kind == POSE,
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = folder.with_name(f"{c.name}.ckpt")
    options = TrainerOptions.of(
        params.distributed,
        checkpoint=checkpoint,
        checkpoint_minutes=params.distributed.checkpoint_minutes,
    )
    with publish(folder) as made:
        train_refiner(
            refine_config(params.refine, run),
            params.refine,
            landmarker,
            data,
            made,
            options,
            seed=params.seed + c.id,
        )
    checkpoint.unlink(missing_ok=True)


def _digest(config: TableConfig, detector: Detector) -> str:
    """A hash of everything that decides what the refiners learn."""
    params, ws = config.params, config.ws
    decisive = params.model_dump_json(include={"seed", "refine", "categories", "evaluate"})
    folders = [ws.detector, *(ws.finetuned(c.name) for c in CATEGORIES)]
    return _hash_files(config, folders, f"{decisive} {config.epochs} {detector.post.model_dump_json()}")


def _hash_files(config: TableConfig, models: list[Path], settings: str) -> str:
    """A hash of settings, of the catalog's labels and of models."""
    hashed = hashlib.sha256(settings.encode())
    files = [folder / name for folder in models for name in (SPEC, WEIGHTS)]
    for file in [config.ws.catalog / "garments.parquet", *files]:
        hashed.update(file.read_bytes())
    return hashed.hexdigest()[:12]
