"""The published recipes of HRNet, PoseFix and DARK: augmentation, clipping, steps, boxes, smoothing."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from test_trainer import LIMIT, Plane, Points

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.parts.augment import Warp, reach, step_generator, warp_batch
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.heatmaps import _smooth_around, decode_peaks, render_gaussians
from fashion_ops.methods.parts.regions import Regions
from fashion_ops.methods.parts.trainer import fit
from fashion_ops.methods.posefix.training import refine_config
from fashion_ops.methods.top_down.decode import DecodeConfig
from fashion_ops.methods.top_down.training import landmarker_spec, landmarker_warp
from fashion_ops.params import Params, Refine, TrainLandmarker, load_params
from fashion_ops.params.recipes import configure

ROOT = Path(__file__).parents[2]
CROP = (32, 64)
ALONE = torch.arange(3)
PUBLISHED = {
    "landmarker": TrainLandmarker(flip=0, rotation=30, scale=0.25, shift=0, color=0),
    "refiner": Refine(flip=0, rotation=40, scale=0.3, shift=0, color=0),
}


def augmented(warp: Warp, samples: int, margin: Warp | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops of a white photo that goes on for ever, and where three landmarks are in them."""
    garments = TrainingGarments(
        np.zeros(1, np.int64),
        np.ones(1, np.int64),
        np.array([[400.0, 400, 450, 500]]),
        np.array([[[425.0, 450, 2], [445, 450, 2], [425, 470, 2]]]),
        np.zeros((1, 0)),
    )
    white = np.full((900, 900, 3), 255, np.uint8)
    batch = Regions(garments, lambda _: white, CROP, 1.25, warp=margin).__getitems__([0] * samples)
    return warp_batch(batch["region"], batch["landmarks"], CROP, ALONE, warp, step_generator(0, 0, CPU))


@pytest.mark.parametrize("config", PUBLISHED.values(), ids=PUBLISHED)
def test_no_sample_is_black_where_the_photo_goes_on(config):
    warp = landmarker_warp(config)
    crops, _ = augmented(warp, 1500, margin=warp)
    assert crops.min() > 0.999
    before, _ = augmented(warp, 1500, margin=None)  # the fixed margin of earlier versions
    assert (before.amin((1, 2, 3)) < 0.5).float().mean() > 0.1


@pytest.mark.parametrize("config", PUBLISHED.values(), ids=PUBLISHED)
def test_the_side_that_is_cut_is_a_normal_number_clipped_to_one_standard_deviation(config):
    warp = landmarker_warp(config)
    _, moved = augmented(warp, 2000, margin=warp)
    arm = (moved[:, 1, :2] - moved[:, 0, :2]).norm(dim=1)
    plain = augmented(Warp(), 1, margin=Warp())[1][0]
    side = float((plain[1, :2] - plain[0, :2]).norm()) / arm
    s = config.scale
    assert side.min() == pytest.approx(1 - s, abs=1e-3) and side.max() == pytest.approx(1 + s, abs=1e-3)
    at_the_ends = ((side - 1).abs() > s - 1e-3).float().mean()
    assert float(at_the_ends) == pytest.approx(0.317, abs=0.03)  # of a normal beyond one deviation
    assert float(side.mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("config", PUBLISHED.values(), ids=PUBLISHED)
def test_six_of_ten_crops_are_rotated_by_at_most_two_standard_deviations(config):
    warp = landmarker_warp(config)
    _, moved = augmented(warp, 2000, margin=warp)
    arm = moved[:, 1, :2] - moved[:, 0, :2]
    angle = torch.atan2(arm[:, 1], arm[:, 0]).rad2deg().abs()
    assert float((angle > 0.01).float().mean()) == pytest.approx(0.6, abs=0.03)
    assert float(angle.max()) == pytest.approx(2 * config.rotation, abs=0.1)


def test_the_region_of_a_rotated_crop_by_hand():
    # 45 degrees: 30 x 40 turns into a bounding square of (30 + 40) / sqrt(2) = 49.497
    assert reach((30, 40), Warp(rotation=22.5)) == (50, 50)
    # beyond the angle of the diagonal the diagonal itself, 50, times 1.3
    assert reach((30, 40), Warp(rotation=40, side=0.3)) == (65, 65)
    assert reach((30, 40), Warp(flip=0.5)) == (30, 40)
    assert reach((30, 40), Warp(shift=0.1)) == (48, 64)


def test_without_a_limit_gradients_are_not_clipped():
    norms = []
    for limit in (LIMIT, None):
        module = Plane(Plane().config.model_copy(update={"clip_gradients": limit}))
        fit(module, Points())
        norms.append(float(module.gradients[0].norm()))
    assert norms[0] == pytest.approx(LIMIT, rel=1e-4) and norms[1] > 4 * LIMIT


RECIPES = {
    "deepfashion2": ["configs/deepfashion2.yaml"],
    "winner": ["params.yaml", "configs/agg_finetune/winner.yaml"],
    "third place": [
        "params.yaml",
        "configs/agg_finetune/winner.yaml",
        "configs/agg_finetune/third_place.yaml",
    ],
    **{
        name: ["params.yaml", f"configs/deepmark/{name}.yaml"]
        for name in ("hourglass_512", "dla34_256", "mdla34_256", "resnet50_256")
    },
}


def merged(files: list[str], folder: Path) -> Params:
    """The parameters of the first file with the recipes."""
    path = folder / "params.yaml"
    path.write_text((ROOT / files[0]).read_text())
    if files[1:]:
        configure(path, [ROOT / file for file in files[1:]])
    return load_params(path)


@pytest.mark.parametrize("files", RECIPES.values(), ids=RECIPES)
def test_published_recipes_do_not_clip(files, tmp_path):
    p = merged(files, tmp_path)
    if "agg_finetune" in files[-1] or len(files) == 1:
        assert p.train_landmarker.clip_gradients is None and p.finetune.clip_gradients is None
        assert p.train_landmarker.rotation_probability == 0.6
    if "deepmark" in files[-1] or len(files) == 1:
        assert p.train_detector.clip_gradients is None


def test_posefix_as_published():
    """Section (c) of the facts: steps at 90 and 120 of 140 epochs, rotation 40 and scale .3, x1.2."""
    params = load_params(ROOT / "configs/deepfashion2.yaml")
    refine = params.refine
    outwear = params.categories["short_sleeve_outwear"].refine
    config = refine_config(refine, outwear)
    assert outwear.epochs == 140
    assert config.lr_steps is not None
    assert [n for n, _ in config.lr_steps] == [90, 30, 20]
    assert [lr for _, lr in config.lr_steps] == pytest.approx([5e-4, 5e-5, 5e-6])
    assert config.clip_gradients is None
    assert (refine.rotation, refine.rotation_probability, refine.scale) == (40.0, 0.6, 0.3)
    assert refine.box == "pose"


@pytest.mark.parametrize("epochs", [1, 2, 3, 20])
def test_steps_of_short_runs_fill_them(epochs):
    run = Params().categories["skirt"].refine.model_copy(update={"epochs": epochs})
    config = refine_config(Refine(lr_drops=(0.643, 0.857)), run)
    assert config.lr_steps is not None
    assert sum(n for n, _ in config.lr_steps) == epochs and config.lr == run.lr
    assert refine_config(Refine(), run).lr_steps is None
    with pytest.raises(ValueError, match=r"lr_drops \[0\.9, 0\.5\]: must rise"):
        Refine(lr_drops=(0.9, 0.5))


def noisy_maps(noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    points = torch.rand(4, 40, 2, generator=rng) * torch.tensor([38.0, 50.0]) + 5
    heat = render_gaussians(points, (48, 60), 2.0)
    return heat + noise * torch.randn(heat.shape, generator=rng), points


@pytest.mark.parametrize(("sigma", "kernel"), [(2.0, 11), (3.0, 17)])  # of DARK's release
def test_dark_smooths_as_opencv_with_the_published_kernels(sigma, kernel):
    heat, _ = noisy_maps(0.1)
    x, y = torch.full((4, 40), 0), torch.full((4, 40), 30)  # at the border
    x[:, 20:] = 24
    ours = _smooth_around(heat, x, y, sigma)
    for b, k in ((0, 0), (1, 30), (3, 39)):
        border = cv2.copyMakeBorder(heat[b, k].numpy(), 9, 9, 9, 9, cv2.BORDER_CONSTANT, value=0)
        blurred = cv2.GaussianBlur(border, (kernel, kernel), sigma)
        row, column = int(y[b, k]) + 9, int(x[b, k]) + 9
        theirs = blurred[row - 1 : row + 2, column - 1 : column + 2]
        np.testing.assert_allclose(ours[b, k], theirs, atol=2e-5)


def test_smoothed_maps_are_read_exactly_without_noise_and_better_with_it():
    clean, points = noisy_maps(0.0)
    assert (decode_peaks(clean, 2.0)[..., :2] - points).abs().max() < 0.02
    heat, points = noisy_maps(0.05)
    smooth = (decode_peaks(heat, 2.0)[..., :2] - points).norm(dim=-1).mean()
    rough = (decode_peaks(heat)[..., :2] - points).norm(dim=-1).mean()
    assert smooth < 0.7 * rough
    assert torch.equal(decode_peaks(heat, 2.0)[..., 2], decode_peaks(heat)[..., 2])


def test_models_from_before_are_read_without_smoothing():
    new = landmarker_spec(TrainLandmarker(heatmap_sigma=2.0), "agg81", 0)
    assert DecodeConfig.from_spec(new).smoothing == 2.0
    old = {name: value for name, value in new.items() if name != "smoothing"}
    assert DecodeConfig.from_spec(old).smoothing == 0.0
    rough = landmarker_spec(TrainLandmarker(smooth=False), "agg81", 0)
    assert DecodeConfig.from_spec(rough).smoothing == 0.0
