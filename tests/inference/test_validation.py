"""AP after each epoch: how it is computed, that it belongs to the weights, and changes nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from finetune_job import make_job

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import ImageReader
from fashion_ops.distributed.display import Display
from fashion_ops.distributed.job_store import Event
from fashion_ops.distributed.payload import Result, unpack_folder
from fashion_ops.inference.validation import MAX_GARMENTS, ValidationSet, validation_set
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.posefix.inference import Refiner
from fashion_ops.methods.top_down.decode import pose_score
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.params import Refine, TrainingConfig
from fashion_ops.steps import finetune, refine
from fashion_ops.steps.finetune import FinetuneJob
from fashion_ops.steps.refine import RefineJob

SKIRT, LANDMARKS = 9, 8


def rows(landmarks: list[np.ndarray]) -> ValidationSet:
    """Skirts, one on each of the images 0, 1, ..., in the box that ``make_job`` gives them."""
    n = len(landmarks)
    images = pd.DataFrame({"image_id": range(n), "coco_id": range(100, 100 + n), "split": "validation"})
    garments = pd.DataFrame({"image_id": range(n), "garment_id": range(n), "category_id": SKIRT})
    garments["box"] = [np.array([5, 5, 85, 85], np.float32)] * n
    garments["landmarks"] = [points.ravel() for points in landmarks]
    return ValidationSet(images, garments)


def test_ap_by_hand() -> None:
    """Two of four garments exact and ranked first: precision 1 up to recall 0.5, 51 of 101 points."""
    random = np.random.default_rng(0)
    truth = [np.column_stack([random.uniform(10, 80, (LANDMARKS, 2)), [2] * LANDMARKS]) for _ in "1234"]
    predicted = [points + np.array([300.0 * (i > 1), 0, 0]) for i, points in enumerate(truth)]
    assert rows(truth).evaluate(truth, [0.5] * 4)["AP"] == pytest.approx(1)
    assert rows(truth).evaluate(predicted, [0.9, 0.8, 0.2, 0.1])["AP"] == pytest.approx(51 / 101)


def test_the_validation_set_has_labelled_garments_of_the_category() -> None:
    n = 200
    garments = pd.DataFrame(
        {
            "garment_id": range(n),
            "image_id": np.arange(n) // 2,
            "category_id": np.where(np.arange(n) % 4 == 3, 1, SKIRT),
            "split": np.where(np.arange(n) < 20, "train", "validation"),
            "num_labelled": np.where(np.arange(n) % 10 == 0, 0, 5),
            "box": [np.zeros(4)] * n,
            "landmarks": [np.zeros(24)] * n,
        }
    )
    images = pd.DataFrame({"image_id": range(100), "coco_id": range(100), "split": "validation"})
    catalog = Catalog.__new__(Catalog)  # without files: both tables as if they had been read
    vars(catalog).update(garments=garments, images=images)
    chosen = validation_set(catalog, "skirt", 0)
    ids = chosen.garments["garment_id"].to_numpy()
    assert len(chosen) == len(set(ids)) == MAX_GARMENTS
    assert (ids >= 20).all() and (ids % 4 != 3).all() and (ids % 10 != 0).all()
    assert set(chosen.images["image_id"]) == set(ids // 2)
    assert not validation_set(catalog, "vest", 0)


def near(poses: Any) -> ValidationSet:
    """Garments whose labels lie 0, 1, 2, ... pixels beside the predictions of a model."""
    return rows([np.column_stack([p[:, :2] + i, [2] * LANDMARKS]) for i, p in enumerate(poses)])


def written(result: Result, folder: Path) -> Path:
    unpack_folder(result.files, folder)
    return folder


def two_epochs(folder: Path) -> tuple[FinetuneJob, ImageReader, tuple[np.ndarray, ...]]:
    """A job without validation, its images, and its garments' images, boxes and categories."""
    job = make_job(folder, seed=3, epochs=2)
    garments = job.garments
    boxed = garments.image_id, garments.boxes, garments.category_id
    return job, ImageReader(job.images, folder), boxed


def test_each_epoch_of_finetuning_tells_the_ap_of_its_weights_and_keeps_them(tmp_path: Path) -> None:
    job, read, boxed = two_epochs(tmp_path)
    plain = finetune.work(job)
    model = LandmarkPredictor.load(written(plain, tmp_path / "plain"), CPU).with_decoding(
        flip_test=False
    )
    poses = model.predict(read, *boxed)
    data, reported = near(poses), []
    job = replace(job, validation=data)
    result = finetune.work(job, on_epoch=lambda _, metrics: reported.append(metrics))
    assert result.files["weights.safetensors"] == plain.files["weights.safetensors"]
    assert [set(metrics) for metrics in reported] == [{"loss", "heatmap", "AP"}] * 2
    expected = data.evaluate(poses, [pose_score(pose) for pose in poses])
    assert result.metrics["AP"] == reported[-1]["AP"] == expected["AP"]
    assert 0 < expected["AP"] < 1


def test_each_epoch_of_refining_too(tmp_path: Path) -> None:
    universal, read, boxed = two_epochs(tmp_path)
    job = RefineJob(
        category="skirt",
        config=TrainingConfig(lr=1e-3, epochs=2, batch_size=4, precision="fp32"),
        refine=Refine(precision="fp32", flip_test=False),
        seed=universal.seed,
        garments=universal.garments,
        validation=None,
        images=universal.images,
        landmarker=universal.landmarker,
        devices=2,
    )
    plain, start = refine.work(job), tmp_path / "start"
    unpack_folder(job.landmarker, start)
    before = LandmarkPredictor.load(start, CPU).with_decoding(flip_test=False).predict(read, *boxed)
    refiner = Refiner.load(written(plain, tmp_path / "plain"), CPU)
    after = refiner.refine_garments(read, *boxed[:2], np.stack(before))
    data, reported = near(after), []
    job = replace(job, validation=data)
    result = refine.work(job, on_epoch=lambda _, metrics: reported.append(metrics))
    assert result.files["weights.safetensors"] == plain.files["weights.safetensors"]
    expected = data.evaluate(list(after), [pose_score(pose) for pose in before])
    assert result.metrics["AP"] == reported[-1]["AP"] == expected["AP"]
    assert 0 < expected["AP"] < 1


def test_the_board_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    with Display("finetune", {"skirt": 4}) as display:
        display.update([Event("epoch", "skirt", 1.0, epoch=4, metrics={"loss": 1.25, "AP": 0.4375})])
        display.complete("skirt")
    assert "finetune skirt: done, 4 epochs, loss 1.25, AP 0.4375" in capsys.readouterr().err
