"""Finetuning and refining a category without a single garment: its models do as the universal one."""

import numpy as np
import pytest
import torch

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.distributed.payload import pack_folder, unpack_folder
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.posefix.inference import Refiner
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import landmarker_spec
from fashion_ops.params import Refine, TrainingConfig, TrainLandmarker
from fashion_ops.steps import finetune, refine
from fashion_ops.steps.finetune import FinetuneJob
from fashion_ops.steps.refine import RefineJob
from fashion_ops.taxonomy import category, load_grouping

torch.set_num_threads(1)
TINY = TrainLandmarker(backbone="hrnet_w8_tiny", crop=(64, 64), precision="fp32", flip_test=False)


@pytest.fixture
def inputs(tmp_path):
    """What the jobs of both steps have in common, with no garments."""
    folder = tmp_path / "landmarker"
    folder.mkdir()
    torch.manual_seed(0)
    save_model(folder, Landmarker(TINY.backbone, 81, 0), landmarker_spec(TINY, "agg81", 0))
    (folder / "history.json").write_text('[{"loss": 1.0}]\n')
    k = load_grouping("agg81").num_groups
    nothing = TrainingGarments(
        image_id=np.zeros(0, np.int64),
        category_id=np.zeros(0, np.int64),
        boxes=np.zeros((0, 4), np.float32),
        landmarks=np.zeros((0, k, 3), np.float32),
        soft_labels=np.zeros((0, 0), np.float32),
    )
    return {
        "category": "skirt",
        "seed": 1,
        "garments": nothing,
        "validation": None,
        "images": [],
        "landmarker": pack_folder(folder),
    }


def crops() -> tuple[torch.Tensor, np.ndarray]:
    pixels = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return (pixels * 255).to(torch.uint8), np.full(3, category("skirt").id)


def test_finetuned_is_the_universal_landmarker(inputs, tmp_path):
    result = finetune.work(FinetuneJob(config=TINY, own_channels=False, **inputs))
    assert result.metrics == {"garments": 0}
    assert result.files["history.json"] == b"[]\n"
    unpack_folder(result.files, tmp_path / "finetuned")
    poses = [
        LandmarkPredictor.load(tmp_path / name, CPU).predict_crops(*crops())
        for name in ("landmarker", "finetuned")
    ]
    np.testing.assert_array_equal(*map(np.stack, poses))


def test_refined_is_the_landmarker_whatever_its_backbone(inputs, tmp_path):
    published = Refine(backbone="resnet50", flip_test=False, precision="fp32")
    config = TrainingConfig(epochs=1, precision="fp32")
    result = refine.work(RefineJob(config=config, refine=published, **inputs))
    assert result.metrics == {"garments": 0}
    unpack_folder(result.files, tmp_path / "refined")
    pixels, kinds = crops()
    poses = np.stack(LandmarkPredictor.load(tmp_path / "landmarker", CPU).predict_crops(pixels, kinds))
    refiner = Refiner.load(tmp_path / "refined", CPU)
    assert refiner.spec["backbone"] == "landmarker"
    refined = refiner.refine(pixels, torch.from_numpy(poses)).numpy()
    assert refined.shape == poses.shape and np.isfinite(refined).all()
    assert refined[..., 2] == pytest.approx(poses[..., 2])
