"""The heads SimCC and RLE: codec, losses by hand, flip test, own channels, and what they learn."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_top_down import GROUPING, SKIRT, drawn_skirts
from torch import nn

from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.methods.parts.crops import cut_crops
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.flow import RealNVP
from fashion_ops.methods.parts.shape_fit import fit_shape_prior
from fashion_ops.methods.parts.shape_prior import apply_priors
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.methods.top_down.decode import (
    decode_classes,
    decode_normals,
    predict_classes,
    predict_normals,
)
from fashion_ops.methods.top_down.heads import HEADS
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.loss import (
    expected_shares,
    rle_loss,
    simcc_bins,
    simcc_loss,
    simcc_sigma,
)
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import landmarker_spec, train_landmarker
from fashion_ops.params import TrainLandmarker
from fashion_ops.taxonomy import category

CROP = (64, 96)
POINTS = torch.rand(1, 50, 2, generator=torch.Generator().manual_seed(0)) * 40 + 12
VISIBLE = torch.cat([POINTS, torch.full((1, 50, 1), 2.0)], -1)
PAIRS = torch.arange(50).view(-1, 2).flip(1).flatten()  # 0 <-> 1, 2 <-> 3, ...


def perfect_logits(points: torch.Tensor) -> torch.Tensor:
    """Logits whose softmax is the target of SimCC."""
    parts = []
    for axis, side in enumerate(CROP):
        bins, center = torch.arange(2 * side), simcc_bins(points[..., axis])[..., None]
        parts.append(-((bins - center) ** 2) / (2 * simcc_sigma(2 * side) ** 2))
    return torch.cat(parts, -1)


def as_normals(points: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """The output of an RLE head for points in crop pixels."""
    return torch.cat([(points + 0.5) / torch.tensor(CROP), std], -1)


class Perfect(nn.Module):
    """Outputs what is true; every second call is for the mirrored crop, whose channels are swapped."""

    def __init__(self, encode) -> None:
        super().__init__()
        self.encode, self.mirrored = encode, False

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        points = POINTS.clone()
        if self.mirrored:
            points = points[:, PAIRS]
            points[..., 0] = CROP[0] - 1 - points[..., 0]
        self.mirrored = not self.mirrored
        return self.encode(points)


@pytest.mark.parametrize("mirror", [None, PAIRS])
def test_what_simcc_leaves(mirror):
    """Half a pixel a bin: at most a quarter off; the flip test mirrors bins and swaps the sides."""
    density = predict_classes(Perfect(perfect_logits), torch.zeros(1, 3, *CROP[::-1]), mirror)
    found = decode_classes(density, CROP)
    assert (found[..., :2] - POINTS).abs().max() <= 0.25 + 1e-4
    assert found[..., 2].min() > 0.98


def test_simcc_scores_are_of_the_worse_axis():
    logits = perfect_logits(POINTS)
    logits[..., : 2 * CROP[0]] = 0  # knows nothing of x
    found = decode_classes(
        predict_classes(Perfect(lambda _: logits), torch.zeros(1, 3, 96, 64), None), CROP
    )
    flat = math.sqrt(2 * math.pi) * simcc_sigma(2 * CROP[0]) / (2 * CROP[0])
    torch.testing.assert_close(found[..., 2], torch.full((1, 50), flat))


def test_simcc_loss_is_zero_at_its_target_and_by_hand_elsewhere():
    assert float(simcc_loss(perfect_logits(POINTS), VISIBLE, CROP)) == pytest.approx(0, abs=1e-5)
    flat = torch.zeros(1, 50, 2 * sum(CROP))
    entropies = [0.5 * math.log(2 * math.pi * math.e * simcc_sigma(2 * n) ** 2) for n in CROP]
    expected = sum(math.log(2 * n) for n in CROP) - sum(entropies)  # KL(Gaussian || uniform)
    assert float(simcc_loss(flat, VISIBLE, CROP)) == pytest.approx(expected, abs=0.01)
    absent = VISIBLE.clone()
    absent[:, 1:, 2] = 0
    one = simcc_loss(flat[:, :1], VISIBLE[:, :1], CROP)
    torch.testing.assert_close(simcc_loss(flat, absent, CROP), one)


@pytest.mark.parametrize("mirror", [None, PAIRS])
def test_what_rle_leaves(mirror):
    """Nothing: coordinates are averaged, as are the deviations of the two views of a landmark."""
    stds = torch.rand(1, 50, 2, generator=torch.Generator().manual_seed(1)) * 0.1 + 0.01
    model = Perfect(lambda points: as_normals(points, stds))
    normals = predict_normals(model, torch.zeros(1, 3, *CROP[::-1]), mirror)
    found = decode_normals(normals, CROP)
    torch.testing.assert_close(found[..., :2], POINTS, atol=1e-4, rtol=0)
    both = stds if mirror is None else (stds + stds[:, PAIRS]) / 2
    torch.testing.assert_close(found[..., 2], 1 - both.mean(-1))
    distance = (both * torch.tensor(CROP)).square().sum(-1).sqrt()
    torch.testing.assert_close(found[..., 3], distance)


def test_rle_loss_by_hand():
    """A fresh flow is the identity: a Laplace likelihood with sigma as its std, and a normal one."""
    std, off = torch.full((1, 50, 2), 0.1), torch.tensor([6.4, -9.6])  # one sigma along x and y
    loss = rle_loss(as_normals(POINTS + off, std), VISIBLE, CROP, RealNVP())
    laplace = 2 * (math.log(math.sqrt(2) * 0.1) + math.sqrt(2))
    normal = 2 * math.log(0.1) + math.log(2 * math.pi) + 1
    assert float(loss.detach()) == pytest.approx(laplace + normal, rel=1e-5)


def test_the_best_sigma_of_the_laplace_part_is_the_std_of_a_laplace_distribution():
    errors = torch.distributions.Laplace(0.0, 1 / math.sqrt(2)).sample((20_000,)) * 0.05
    sigma = torch.tensor(0.2, requires_grad=True)
    optimizer = torch.optim.Adam([sigma], 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        cost = (math.sqrt(2) * sigma).log() + math.sqrt(2) * (errors / sigma).abs().mean()
        cost.backward()
        optimizer.step()
    assert float(sigma) == pytest.approx(0.05, rel=0.05)


def test_a_trained_flow_is_a_density():
    """Fitted to a curved cloud it beats the normal distribution, and still sums to 1."""
    torch.manual_seed(0)
    x = torch.randn(2000)
    cloud = torch.stack([x, 0.5 * x**2 - 0.5 + 0.3 * torch.randn(2000)], 1)
    flow = RealNVP()
    before = float(flow.log_prob(cloud).mean())
    optimizer = torch.optim.Adam(flow.parameters(), 5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        (-flow.log_prob(cloud).mean()).backward()
        optimizer.step()
    assert float(flow.log_prob(cloud).mean()) > before + 0.3
    steps = torch.linspace(-9, 9, 181)
    grid = torch.cartesian_prod(steps, steps)
    with torch.no_grad():
        assert float(flow.log_prob(grid).exp().sum()) * 0.1**2 == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("head", ["simcc", "rle"])
def test_the_position_constraint_reads_the_points(head):
    output = perfect_logits(POINTS) if head == "simcc" else as_normals(POINTS, POINTS)
    predicted, true = expected_shares(output, POINTS, CROP, head)
    torch.testing.assert_close(true, POINTS / 96)
    torch.testing.assert_close(predicted, true, atol=1e-4, rtol=0)


@pytest.mark.parametrize("backbone", ["hrnet_w8_tiny", "vit_w32_tiny"])
@pytest.mark.parametrize("head", HEADS)
def test_kept_channels_are_the_same_output(backbone, head):
    model = Landmarker(backbone, 81, head=head, crop=CROP).eval()
    channels = torch.from_numpy(GROUPING.channels(SKIRT))
    crops = torch.randn(1, 3, *CROP[::-1])
    with torch.no_grad():
        before = model(crops)[:, channels]
        model.keep_channels(channels)
        torch.testing.assert_close(model(crops), before)


def test_a_head_that_does_not_exist():
    with pytest.raises(ValueError, match="head 'softmax': must be heatmap, simcc or rle"):
        Landmarker("hrnet_w8_tiny", 81, head="softmax")
    with pytest.raises(ValueError, match="simcc is made for one size of crops, got none"):
        Landmarker("hrnet_w8_tiny", 81, head="simcc")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A landmarker of each new head, trained for seconds on drawn skirts."""
    garments, images = drawn_skirts(64)
    models = {}
    for head, backbone in (("simcc", "hrnet_w8_tiny"), ("rle", "hrnet_w8_tiny")):
        folder = tmp_path_factory.mktemp(head)
        config = TrainLandmarker(
            backbone=backbone,
            head=head,
            crop=(64, 64),
            lr=1e-2,
            epochs=20,
            batch_size=8,
            precision="fp32",
            position_constraint=0.1,
        )
        torch.manual_seed(0)
        model = Landmarker(backbone, 81, 4, head=head, crop=config.crop)
        history = train_landmarker(
            config,
            model,
            landmarker_spec(config, "agg81", 4),
            garments,
            lambda i: images[i],
            folder,
            TrainerOptions(),
            seed=0,
        )
        models[head] = LandmarkPredictor.load(folder, CPU), history
    return models


@pytest.mark.parametrize("head", ["simcc", "rle"])
def test_a_head_learns_drawn_skirts(trained, head):
    """Error below the mean shape's on images it has not seen; a mirrored crop gives the mirror."""
    model, history = trained[head]
    assert model.spec["head"] == head and history[-1][head] < history[0][head]
    assert "position" in history[0] and "label" in history[0]
    test, images = drawn_skirts(16, seed=9)
    found = np.stack(model.predict(lambda i: images[i], test.image_id, test.boxes, test.category_id))
    truth = GROUPING.ungroup(SKIRT, test.landmarks)[..., :2]
    error = np.linalg.norm(found[..., :2] - truth, axis=-1)
    extent = (test.boxes[:, 2:] - test.boxes[:, :2])[:, None]
    relative = ((truth - test.boxes[:, None, :2]) / extent).mean(0)
    mean_shape = np.linalg.norm(test.boxes[:, None, :2] + relative * extent - truth, axis=-1)
    assert np.median(error) < 0.8 * np.median(mean_shape)
    crops = torch.randint(0, 255, (3, 3, 64, 64), dtype=torch.uint8)
    ids = np.full(3, SKIRT)
    straight = np.stack(model.predict_crops(crops, ids))
    flipped = np.stack(model.predict_crops(crops.flip(-1), ids))[:, category(SKIRT).mirror()]
    flipped[..., 0] = 63 - flipped[..., 0]
    np.testing.assert_allclose(flipped, straight, atol=1e-3)


def test_deviations_come_in_image_pixels(trained):
    """In images twice as large the same garments have twice the deviation."""
    import cv2

    model, _ = trained["rle"]
    test, images = drawn_skirts(8, seed=9)
    small = model.predict_with_std(lambda i: images[i], test.image_id, test.boxes, test.category_id)
    assert np.stack(small).shape == (8, 8, 4)
    plain = model.predict(lambda i: images[i], test.image_id, test.boxes, test.category_id)
    np.testing.assert_array_equal(np.stack(small)[..., :3], np.stack(plain))
    big = model.predict_with_std(
        lambda i: cv2.resize(images[i], None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR),
        test.image_id,
        (test.boxes + 0.5) * 2 - 0.5,
        test.category_id,
    )
    assert np.median(np.stack(big)[..., 3] / np.stack(small)[..., 3]) == pytest.approx(2, rel=0.1)
    other, _ = trained["simcc"]
    with pytest.raises(ValueError, match="head simcc predicts no standard deviation"):
        other.predict_with_std(lambda i: images[i], test.image_id, test.boxes, test.category_id)


def test_the_deviation_of_simcc_is_what_its_density_has_beyond_the_target():
    """A target that is known to s pixels along x and along y has a deviation of sqrt(2) s."""
    for pixels in (0.0, 3.0):
        parts = []
        for axis, side in enumerate(CROP):
            bins, middle = torch.arange(2 * side), simcc_bins(torch.tensor([32.0, 48.0])[axis])
            wide = simcc_sigma(2 * side) ** 2 + (2 * pixels) ** 2
            parts.append((-((bins - middle) ** 2) / (2 * wide)).softmax(-1))
        found = decode_classes(torch.cat(parts)[None, None], CROP)
        assert float(found[0, 0, 3]) == pytest.approx(math.sqrt(2) * pixels, abs=0.02)


@pytest.mark.parametrize("head", ["simcc", "rle"])
def test_the_shape_prior_weighs_landmarks_by_the_deviations_of_the_head(trained, head):
    """As by hand from the fourth column; the pipeline returns three, the same bits without a prior."""
    model, _ = trained[head]
    labels, _ = drawn_skirts(128, seed=3)
    prior = fit_shape_prior(GROUPING.ungroup(SKIRT, labels.landmarks), labels.boxes)
    test, images = drawn_skirts(8, seed=9)
    garments = test.image_id, test.boxes, test.category_id
    spec = {**model.spec, "decode_prior": True}
    pipelines = [
        LandmarkPipeline(replace(model, spec=spec, priors=priors), {}, {})
        for priors in ({}, {SKIRT: prior})
    ]
    plain, corrected = (
        p.predict(lambda i: images[i], *garments, ("universal",), detected=False)["universal"]
        for p in pipelines
    )
    poses = model.predict(lambda i: images[i], *garments)
    np.testing.assert_array_equal(np.stack(plain.landmarks), np.stack(poses))
    matrices = model.matrices(test.boxes)
    crops = cut_crops(lambda i: images[i], test.image_id, matrices, model.crop)
    channels = model.predict_channels_and_stds(crops, test.category_id)[:, GROUPING.channels(SKIRT)]
    in_crop = np.sqrt(channels[..., 3] ** 2 / 2 + 0.8**2)
    stds = list(in_crop / matrices[:, :1, 0])
    expected, spreads = apply_priors({SKIRT: prior}, poses, stds, *garments[1:], detected=False)
    np.testing.assert_allclose(np.stack(corrected.landmarks), np.stack(expected), atol=1e-3)
    np.testing.assert_allclose(np.stack(corrected.deviations), np.stack(spreads), rtol=1e-4)
    assert np.std(in_crop) > 0.01 and (np.stack(expected) != np.stack(poses))[..., :2].any()
    with pytest.raises(ValueError, match=f"landmarks of the head {head} have 3 columns"):
        model.landmark_stds(poses[0])
