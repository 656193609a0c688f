"""A finetuning run of seconds, for tests of what carries it, with the smallest landmarker there is."""

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from fashion_ops.catalog.training_data import LAYOUT, TrainingGarments
from fashion_ops.distributed.payload import pack_folder
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import landmarker_spec
from fashion_ops.params import TrainLandmarker
from fashion_ops.steps.finetune import FinetuneJob
from fashion_ops.taxonomy import load_grouping


def make_job(tmp_path: Path, seed: int, epochs: int) -> FinetuneJob:
    """What ``finetune.prepare`` gives, of noise: eight garments, eight images in chunks of three."""
    random = np.random.default_rng(seed)
    grouping = load_grouping("agg81")
    params = TrainLandmarker(backbone="hrnet_w8_tiny", crop=(64, 64), precision="fp32")
    model = Landmarker(params.backbone, grouping.num_groups, 3, None)
    folder = tmp_path / f"landmarker-{seed}"
    folder.mkdir()
    save_model(folder, model, landmarker_spec(params, grouping.name, 3))
    points = random.uniform(10, 80, (8, grouping.num_groups, 3)).astype(np.float32)
    points[:, :, 2] = 2
    images = [
        bytes(cv2.imencode(".png", random.integers(0, 255, (90, 90, 3), np.uint8))[1]) for _ in range(8)
    ]
    chunks = [
        pa.table([list(range(i, min(i + 3, 8))), images[i : i + 3]], schema=LAYOUT)
        for i in range(0, 8, 3)
    ]
    return FinetuneJob(
        category="skirt",
        config=params.model_copy(update={"lr": 1e-3, "epochs": epochs, "batch_size": 4}),
        own_channels=False,
        seed=seed,
        garments=TrainingGarments(
            image_id=np.arange(8),
            category_id=np.full(8, 9),
            boxes=np.tile(np.array([5, 5, 85, 85], np.float32), (8, 1)),
            landmarks=points,
            soft_labels=np.zeros((8, 0), np.float32),
        ),
        validation=None,
        images=chunks,
        landmarker=pack_folder(folder),
        devices=2,
    )
