"""The refiner: learns, starts where its landmarker stands, resumes, saves and loads, flips."""

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.parts import shape_fit
from fashion_ops.methods.parts.crops import apply_matrices, crop_matrices, cut
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.heatmaps import soft_argmax, to_pixels
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.methods.posefix.data import (
    RefinerData,
    StackedPoses,
    neighbours,
    stack_poses,
    stacked_mirror,
)
from fashion_ops.methods.posefix.inference import Refiner
from fashion_ops.methods.posefix.model import LandmarkerPoseFix, PoseFix, pose_maps
from fashion_ops.methods.posefix.module import box_area
from fashion_ops.methods.posefix.training import new_refiner, refiner_spec, train_refiner
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import landmarker_spec
from fashion_ops.params import Refine, TrainingConfig, TrainLandmarker
from fashion_ops.taxonomy import category, load_grouping

SKIRT = category("skirt")
GROUPING = load_grouping("agg81")
PARAMS = Refine(precision="fp32", rotation=5)
CONFIG = TrainingConfig(lr=4e-3, epochs=3, batch_size=8, precision="fp32")
COLORS = [(255, 60, 60), (60, 255, 60), (60, 60, 255), (255, 255, 60), (255, 60, 255), (60, 255, 255)]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def marked_skirts(n: int, seed: int) -> tuple[TrainingGarments, list[np.ndarray], np.ndarray]:
    """Trapezoids on noise with a coloured square at each landmark; mirror landmarks share a colour."""
    rng = np.random.default_rng(seed)
    images, points = [], []
    for _ in range(n):
        x, y = rng.uniform(25, 45, 2)
        w, h, flare = rng.uniform(20, 35), rng.uniform(40, 55), rng.uniform(4, 14)
        rows = [(y, 0.0), (y + h / 2, flare / 2), (y + h, flare)]
        top, mid, low = ([(x - f, v), (x + w / 2, v), (x + w + f, v)] for v, f in rows)
        p = np.array([*top, mid[0], low[0], low[1], low[2], mid[2]])
        image = rng.integers(0, 60, (120, 120, 3)).astype(np.uint8)
        for (px, py), color in zip(
            p.round().astype(int), np.array([0, 1, 0, 2, 3, 4, 3, 2]), strict=True
        ):
            cv2.rectangle(image, (px - 2, py - 2), (px + 2, py + 2), COLORS[color], -1)
        images.append(image)
        points.append(np.concatenate([p, np.full((8, 1), 2.0)], 1))
    truth = np.stack(points).astype(np.float32)
    boxes = np.concatenate([truth[..., :2].min(1), truth[..., :2].max(1)], 1)
    landmarks = GROUPING.group(SKIRT.id, truth)
    empty = np.zeros((n, 0), np.float32)
    return TrainingGarments(np.arange(n), np.full(n, SKIRT.id), boxes, landmarks, empty), images, truth


@pytest.fixture(scope="module")
def landmarker() -> LandmarkPredictor:
    """A landmarker that knows nothing yet."""
    torch.manual_seed(0)
    spec = landmarker_spec(
        TrainLandmarker(backbone="hrnet_w8_tiny", crop=(64, 64), precision="fp32"), "agg81", 0
    )
    model = Landmarker("hrnet_w8_tiny", 81).eval()
    return LandmarkPredictor(model, spec, torch.device("cpu"))


@pytest.fixture(scope="module")
def skirts():
    return marked_skirts(48, seed=0)


def train(folder, landmarker, skirts, *, epochs=3, params=PARAMS, data=None, **options):
    folder.mkdir()
    garments, images, _ = skirts
    config = CONFIG.model_copy(update={"epochs": epochs})
    return train_refiner(
        config,
        params,
        landmarker,
        RefinerData(garments, lambda i: images[i], **(data or {})),
        folder,
        TrainerOptions(**options),
        seed=3,
    )


def test_learns_to_pull_landmarks_back(tmp_path, landmarker, skirts, monkeypatch):
    monkeypatch.setattr(shape_fit, "LEAST_GARMENTS", 48)
    history = train(
        tmp_path / "model",
        landmarker,
        skirts,
        epochs=25,
        params=PARAMS.model_copy(update={"own_outputs": 0.0}),
    )
    assert history[-1]["loss"] < history[0]["loss"]
    refiner = Refiner.load(tmp_path / "model", CPU)
    assert list(refiner.used_priors) == [SKIRT.id]
    garments, images, truth = marked_skirts(24, seed=99)
    rng = np.random.default_rng(1)
    angle = rng.uniform(0, 2 * np.pi, truth.shape[:2])
    moved = truth.copy()
    moved[..., 0] += 5 * np.cos(angle)
    moved[..., 1] += 5 * np.sin(angle)
    refined = refiner.refine_garments(lambda i: images[i], garments.image_id, garments.boxes, moved)
    error = np.linalg.norm(refined[..., :2] - truth[..., :2], axis=-1).mean()
    assert error < 0.6 * 5, f"moved by 5 px, refined to {error:.2f} px"


def test_untrained_refiner_of_an_ignorant_landmarker_gives_its_input_back(landmarker):
    model = new_refiner(PARAMS, landmarker, SKIRT).eval()
    points = torch.rand(2, 8, 2) * 40 + 12
    with torch.no_grad():
        logits = model(torch.randn(2, 3, 64, 64), points, torch.ones(2, 8, dtype=torch.bool))
    assert (to_pixels(soft_argmax(logits), 4) - points).abs().max() < 0.5


@pytest.mark.parametrize(("loss", "gain"), [("mse", 8), ("cross_entropy", 1)])
def test_starts_from_the_landmarkers_own_channels(landmarker, loss, gain):
    spec = {**landmarker.spec, "heatmap": {"loss": loss, "sigma": 1.5}}
    landmarker = LandmarkPredictor(landmarker.model, spec, landmarker.device)
    model = new_refiner(PARAMS, landmarker, SKIRT).eval()
    assert isinstance(model, LandmarkerPoseFix)
    crops, nowhere = torch.randn(2, 3, 64, 64), torch.zeros(2, 8, dtype=torch.bool)
    with torch.no_grad():
        heat = landmarker.model(crops)[:, torch.from_numpy(GROUPING.channels(SKIRT.id))]
        logits = model(crops, torch.zeros(2, 8, 2), nowhere)
    assert torch.allclose(logits.softmax(1), (gain * heat).softmax(1), atol=1e-5)


@pytest.mark.parametrize("garments", [8, 16, 24, 80])
def test_a_run_of_very_few_steps_trains(tmp_path, landmarker, garments):
    history = train(tmp_path / "model", landmarker, marked_skirts(garments, seed=0), epochs=1)
    assert np.isfinite(history[0]["loss"])


def test_resumed_equals_undisturbed(tmp_path, landmarker, skirts):
    train(tmp_path / "whole", landmarker, skirts)
    checkpoint = tmp_path / "resume.ckpt"

    class Stop(Exception):
        pass

    def stop_after_first(epoch: int, means: dict[str, float]) -> None:
        if epoch == 1:
            raise Stop

    with pytest.raises(Stop):
        train(tmp_path / "cut", landmarker, skirts, checkpoint=checkpoint, on_epoch=stop_after_first)
    train(tmp_path / "resumed", landmarker, skirts, checkpoint=checkpoint)
    for name in ("weights.safetensors", "model.json", "history.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes(), (
            name
        )


@pytest.mark.parametrize("backbone", ["landmarker", "resnet50"])
def test_saved_and_loaded_refines_alike(tmp_path, landmarker, backbone):
    from fashion_ops.methods.artifact import save_model

    params = PARAMS.model_copy(update={"backbone": backbone})
    torch.manual_seed(1)
    model = new_refiner(params, landmarker, SKIRT).eval()
    spec = refiner_spec(params, landmarker.spec, SKIRT)
    save_model(tmp_path, model, spec)
    loaded = Refiner.load(tmp_path, CPU)
    crops = torch.randint(0, 255, (3, 3, 64, 64), dtype=torch.uint8)
    landmarks = torch.rand(3, 8, 3) * 50
    expected = Refiner(model, spec, torch.device("cpu")).refine(crops, landmarks)
    assert torch.equal(loaded.refine(crops, landmarks), expected)
    assert torch.equal(expected[..., 2], landmarks[..., 2])  # scores pass through


def test_flip_test_makes_refinement_symmetric(landmarker):
    torch.manual_seed(2)
    model = new_refiner(PARAMS, landmarker, SKIRT).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.1) if p.ndim > 1 else None
    refiner = Refiner(model, refiner_spec(PARAMS, landmarker.spec, SKIRT), torch.device("cpu"))
    crops = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8)
    landmarks = torch.cat([torch.rand(2, 8, 2) * 50 + 5, torch.ones(2, 8, 1)], 2)
    mirror = torch.from_numpy(SKIRT.mirror())

    def flip(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([63 - x[..., :1], x[..., 1:]], -1)[:, mirror]

    once = Refiner(model, {**refiner.spec, "flip_test": False}, refiner.device)
    lopsided = once.refine(crops, landmarks) - flip(once.refine(crops.flip(-1), flip(landmarks)))
    assert lopsided.abs().max() > 1
    straight = refiner.refine(crops, landmarks)
    turned = flip(refiner.refine(crops.flip(-1), flip(landmarks)))
    assert torch.allclose(straight, turned, atol=0.02)


def test_image_and_crop_refinement_agree(landmarker, skirts):
    garments, images, truth = skirts
    model = new_refiner(PARAMS, landmarker, SKIRT).eval()
    refiner = Refiner(model, refiner_spec(PARAMS, landmarker.spec, SKIRT), torch.device("cpu"))
    matrices = crop_matrices(garments.boxes[:1], (64, 64), 1.25)
    crop = torch.from_numpy(cut(images[0], matrices[0], (64, 64)).transpose(2, 0, 1).copy())[None]
    points = np.concatenate([apply_matrices(matrices, truth[:1, :, :2]), truth[:1, :, 2:]], 2)
    in_crop = refiner.refine(crop, torch.from_numpy(points).float()).numpy()
    in_image = refiner.refine_garments(lambda _: images[0], np.zeros(1), garments.boxes[:1], truth[:1])
    assert np.allclose(apply_matrices(matrices, in_image[..., :2]), in_crop[..., :2], atol=1e-3)


def test_a_refiner_with_a_pose_box_cuts_around_the_pose_and_not_around_the_box(landmarker, skirts):
    """By hand: the tight box of the pose, 1.2 times as large."""
    _, images, truth = skirts
    torch.manual_seed(2)
    model = new_refiner(PARAMS, landmarker, SKIRT).eval()
    spec = refiner_spec(PARAMS.model_copy(update={"box": "pose"}), landmarker.spec, SKIRT)
    refiner = Refiner(model, spec, CPU)
    pose, elsewhere = truth[:1], np.array([[0.0, 0, 10, 10]])
    refined = refiner.refine_garments(lambda _: images[0], np.zeros(1), elsewhere, pose)
    low, high = pose[0, :, :2].min(0), pose[0, :, :2].max(0)
    box = np.concatenate([low - 0.1 * (high - low), high + 0.1 * (high - low)])[None]
    by_hand = Refiner(model, {**spec, "box": "garment"}, CPU)
    expected = by_hand.refine_garments(lambda _: images[0], np.zeros(1), box, pose)
    np.testing.assert_allclose(refined, expected, atol=1e-3)
    whole = by_hand.refine_garments(lambda _: images[0], np.zeros(1), elsewhere, pose)
    assert np.abs(whole - refined).max() > 1
    del spec["box"]  # a model from before
    assert not Refiner(model, spec, CPU).cuts_own_crops


def test_trains_on_the_poses_of_a_detector_that_missed_some(tmp_path, landmarker, skirts):
    """Garments without a pose train on synthetic errors; the rates of all are in ``model.json``."""
    garments, images, truth = marked_skirts(16, seed=4)
    poses = truth + np.array([3, 0, 0], np.float32)
    poses[::2] = np.nan
    few = (garments, images, truth)
    train(tmp_path / "model", landmarker, few, epochs=1, data={"predicted": poses})
    spec = Refiner.load(tmp_path / "model", CPU).spec
    rates = np.array(spec["error_rates"])
    assert rates.shape == (8, 5) and np.allclose(rates.sum(1), 1, atol=1e-3)
    right = {"predicted": truth + np.float32(0)}
    train(tmp_path / "right", landmarker, few, epochs=1, data=right)
    better = np.array(Refiner.load(tmp_path / "right", CPU).spec["error_rates"])
    assert (better[:, 0] > rates[:, 0]).all()


def test_the_control_sees_no_pose(tmp_path, landmarker, skirts):
    train(tmp_path / "model", landmarker, skirts, epochs=1, data={"takes_pose": False})
    control = Refiner.load(tmp_path / "model", CPU)
    crops = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8)
    here, there = torch.full((2, 8, 3), 20.0), torch.full((2, 8, 3), 45.0)
    assert torch.equal(control.refine(crops, here)[..., :2], control.refine(crops, there)[..., :2])
    refiner = Refiner(control.model, {**control.spec, "takes_pose": True}, CPU)
    assert (refiner.refine(crops, here) - refiner.refine(crops, there)).abs().max() > 1


def test_published_network_trains(tmp_path, landmarker):
    params = PARAMS.model_copy(update={"backbone": "resnet50"})
    few = marked_skirts(8, seed=0)
    history = train(tmp_path / "model", landmarker, few, epochs=3, params=params)
    assert history[-1]["cross_entropy"] < history[0]["cross_entropy"]
    assert Refiner.load(tmp_path / "model", CPU).spec["trunk"] is None


def test_published_network_reads_crop_and_pose():
    torch.manual_seed(0)
    model = PoseFix("resnet50", 8, 7.0).eval()
    assert model.trunk.get_submodule("conv1").in_channels == 11
    crops, known = torch.randn(1, 3, 64, 64), torch.ones(1, 8, dtype=torch.bool)
    with torch.no_grad():
        here = model(crops, torch.full((1, 8, 2), 20.0), known)
        there = model(crops, torch.full((1, 8, 2), 40.0), known)
        other = model(crops + 1, torch.full((1, 8, 2), 20.0), known)
    assert here.shape == (1, 8, 16, 16)
    assert not torch.equal(here, there) and not torch.equal(here, other)
    # ResNet-50 without its classifier, 8 pose channels, three deconvolutions, their norms, head
    count = sum(p.numel() for p in model.parameters())
    assert count == 23_508_032 + 8 * 64 * 49 + (2048 + 256 + 256) * 256 * 16 + 3 * 512 + 8 * 257


def test_missing_pretrained_weights_say_what_to_do(monkeypatch):
    import timm

    def offline(*args, **kwargs):
        raise RuntimeError("no network")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(OSError, match=r"resnet152\.tv_in1k.*refine\.pretrained"):
        PoseFix("resnet152", 8, 7.0, "tv_in1k")


def test_pose_maps_are_empty_for_unknown_landmarks():
    maps = pose_maps(
        torch.tensor([[[9.5, 5.5], [1.5, 1.5]]]),
        torch.tensor([[True, False]]),
        torch.Size((16, 24)),
        stride=4,
        sigma=4.0,
    )
    assert maps.shape == (1, 2, 4, 6) and maps[0, 0, 1, 2] == 1 and maps[0, 1].sum() == 0


def test_neighbours_are_of_the_same_image_and_overlap():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [9, 9, 30, 30], [0, 0, 10, 10]], float)
    garments = TrainingGarments(
        np.array([7, 7, 7, 8]), np.full(4, 9), boxes, np.zeros(0), np.zeros((4, 0))
    )
    landmarks = np.arange(4.0)[:, None, None] + np.ones((4, 8, 3))
    near = neighbours(garments, landmarks)
    assert near[:, 0, 0].tolist() == [
        2.0,
        1.0,
        0.0,
        0.0,
    ]  # IoU 1/3 with each other; 0.003 with the third


def test_box_area_follows_the_zoom(skirts):
    garments, _, truth = skirts
    stacked = stack_poses(truth, garments, truth).landmarks
    assert stacked.shape == (48, 3 * 8 + 2, 3)
    before = StackedPoses.split(torch.from_numpy(stacked), 8)
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]]) * 1.5  # a rotation and a zoom by 1.5
    after = torch.cat(
        [torch.from_numpy(stacked[..., :2]) @ turn.T, torch.from_numpy(stacked[..., 2:])], 2
    )
    extent = garments.boxes[:, 2:] - garments.boxes[:, :2]
    expected = torch.from_numpy(extent.prod(1) * 2.25)
    assert torch.allclose(box_area(before, StackedPoses.split(after, 8)), expected, rtol=1e-4)


def test_stacked_mirror_is_an_involution_within_each_part():
    mirror = stacked_mirror(SKIRT.mirror())
    assert torch.equal(mirror[mirror], torch.arange(26))
    assert torch.equal(mirror // 8, torch.arange(26) // 8)


def test_nothing_to_train_on_is_said(landmarker):
    with pytest.raises(ValueError, match="nothing to train on"):
        fit(None, TensorDataset(torch.zeros(0)))  # type: ignore[arg-type]
