"""CenterNet's augmentation: random crops of the original, colours, noise that survives a resume."""

import cv2
import numpy as np
import pytest
import torch

from fashion_ops.catalog.reader import decode_rgb
from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.centernet.data import Images, warp_images
from fashion_ops.methods.centernet.random_crop import RandomCrop, border, rescale_matrix
from fashion_ops.methods.parts.augment import MEAN, STD, Warp, step_generator, warp_batch
from fashion_ops.methods.parts.color import AXES, AXES_VALUES, color_change, normalize_changed

CPU = torch.device("cpu")
SIZE = 64


@pytest.mark.parametrize(
    ("length", "expected"), [(468, 128), (257, 128), (256, 64), (129, 64), (128, 32), (40, 16), (1, 0)]
)
def test_border_rule(length, expected):
    """The largest of 128, 64, 32, ... that leaves a centre between two of them."""
    assert border(length) == expected


def test_crops_are_drawn_as_published():
    width, height = 468, 624
    crop = RandomCrop(np.array([[width, height]] * 2000), seed=1)
    sides, centers = [], []
    for i in range(2000):
        matrix, _ = crop.draw(i, 0, SIZE)
        assert matrix[0, 1] == matrix[1, 0] == 0 and matrix[0, 0] == matrix[1, 1]
        sides.append(SIZE / matrix[0, 0])
        middle = ((SIZE - 1) / 2 - matrix[:, 2]) / matrix[0, 0]
        centers.append(middle + 0.5)
    share, counts = np.unique(np.round(np.array(sides) / height, 6), return_counts=True)
    np.testing.assert_allclose(share, [0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3])
    assert counts.min() > 190  # of 250 expected
    centers = np.array(centers)
    np.testing.assert_allclose(centers, centers.round(), atol=1e-6)
    assert centers.min(0) == pytest.approx([128, 128], abs=1)
    assert centers.max(0) == pytest.approx([width - 129, height - 129], abs=1)
    assert centers.mean(0) == pytest.approx([width / 2, height / 2], rel=0.03)


def test_decoding_smaller_never_costs_resolution():
    for sides in ((468, 624), (2000, 1500), (100, 90), (5000, 400)):
        crop = RandomCrop(np.array([sides] * 50), seed=0)
        for i in range(50):
            matrix, shrink = crop.draw(i, 3, SIZE)
            assert shrink in (1, 2, 4, 8)
            assert matrix[0, 0] * shrink <= 1 or shrink == 1
            assert matrix[0, 0] * shrink > 0.5 or shrink == 8


def scene():
    """A 300x400 image with a ramp that says where each pixel came from, and one garment."""
    ys, xs = np.mgrid[:400, :300]
    image = np.stack([xs * 0.8, ys * 0.6, np.full_like(xs, 90)], -1).round().astype(np.uint8)
    landmarks = np.array([[[100, 150, 2], [200, 150, 1], [150, 250, 2], [0, 0, 0]]], np.float32)
    garments = TrainingGarments(
        np.array([5]), np.array([1]), np.array([[80.0, 120, 220, 280]], np.float32), landmarks,
        np.zeros((1, 0), np.float32),
    )  # fmt: skip
    return image, garments


def reader(image):
    encoded = cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()
    return lambda _, shrink: decode_rgb(encoded, "x", shrink=shrink)


def images(size=SIZE, seed=0):
    image, garments = scene()
    crop = RandomCrop(np.array([[300, 400]]), seed)
    return Images(np.array([5]), garments, reader(image), size, crop)


@pytest.mark.parametrize("size", [32, 64, 256, 512])
def test_pixels_and_labels_go_through_the_same_crop(size):
    """Whether decoded whole, at a half or at an eighth: the ramp tells x and y of the original."""
    data = images(size)
    for epoch in range(6):
        batch = data.__getitems__([epoch])  # of one image
        matrix, _ = data.random_crop.draw(0, epoch, size)
        pixel = batch["image"][0].permute(1, 2, 0).numpy().astype(float)
        ys, xs = np.mgrid[:size, :size]
        x = (xs - matrix[0, 2]) / matrix[0, 0]
        y = (ys - matrix[1, 2]) / matrix[1, 1]
        inside = (x > 12) & (x < 287) & (y > 12) & (y < 387)
        assert inside.sum() > 100
        assert np.abs(pixel[..., 0] - x * 0.8)[inside].max() < 1.6
        assert np.abs(pixel[..., 1] - y * 0.6)[inside].max() < 1.6
        outside = (x < -12) | (x > 311) | (y < -12) | (y > 411)
        assert (pixel[outside] == 0).all()
        expected = scene()[1].landmarks[0, :, :2] @ matrix[:, :2].T + matrix[:, 2]
        np.testing.assert_allclose(batch["landmarks"][0, 0, :, :2], expected, atol=1e-3)
        corners = np.array([[80, 120], [220, 280]]) @ matrix[:, :2].T + matrix[:, 2]
        np.testing.assert_allclose(batch["boxes"][0, 0], corners.ravel(), atol=1e-3)


def test_crops_depend_on_seed_epoch_and_image_only():
    def crop(seed, epoch):
        return images(seed=seed).__getitems__([epoch])["image"]

    assert torch.equal(crop(0, 4), crop(0, 4))
    assert not torch.equal(crop(0, 4), crop(0, 5))
    assert not torch.equal(crop(0, 4), crop(1, 4))
    draw = RandomCrop(np.array([[300, 400]] * 2), 0).draw
    assert not np.array_equal(draw(0, 0, SIZE)[0], draw(1, 0, SIZE)[0])


def test_a_smaller_decoded_image_is_placed_by_its_real_size():
    """Sides that don't divide are rounded up: 301 pixels decode to 151, not 150.5."""
    matrix = np.array([[0.25, 0, 3.0], [0, 0.25, -2.0]])
    small = rescale_matrix(matrix, (201, 151, 3), np.array([301, 402]))
    for original in ((0.0, 0.0), (300.0, 401.0)):
        there = (np.array(original) + 0.5) * (151 / 301, 201 / 402) - 0.5
        np.testing.assert_allclose(
            small[:, :2] @ there + small[:, 2], matrix[:, :2] @ original + matrix[:, 2], atol=1e-9
        )


def by_hand(image, alphas, order, noise):
    """One image (H, W, 3) after the other, step by step, as the released code goes."""
    gray = image @ np.array([0.299, 0.587, 0.114])
    out = image.copy()
    for step in order:
        a = alphas[step]
        if step == 0:
            out = out * a
        elif step == 1:
            out = out * a + (1 - a) * gray.mean()
        else:
            out = out * a + (1 - a) * gray[..., None]
    return out + np.array(AXES) @ (np.array(AXES_VALUES) * noise)


def test_colours_change_as_published():
    b, jitter, lighting = 6, 0.4, 0.1
    pixels = torch.rand(b, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    replay = step_generator(0, 1, CPU)
    alphas = 1 + (torch.rand(b, 3, generator=replay) * 2 - 1) * jitter
    order = torch.rand(b, 3, generator=replay).argsort(1)
    noise = torch.randn(b, 3, generator=replay) * lighting
    assert len({tuple(o) for o in order.tolist()}) > 2
    changed = normalize_changed(pixels.clone(), jitter, lighting, step_generator(0, 1, CPU))
    for i in range(b):
        one = pixels[i].permute(1, 2, 0).double().numpy()
        expected = by_hand(one, alphas[i].tolist(), order[i].tolist(), noise[i].numpy())
        expected = (expected - MEAN) / STD
        np.testing.assert_allclose(changed[i].permute(1, 2, 0), expected, atol=2e-5)


def test_how_far_colours_go():
    """A gray image stays gray: 0.5 may go to 0.3, 0.22, 0.108 (each step away from the unchanged
    gray by 1.4), or up likewise. Noise alone has the axes' covariance.
    """
    gray = torch.full((4000,), 0.5)
    matrix, offset = color_change(gray, 0.4, 0.0, step_generator(0, 0, CPU))
    shade = (matrix @ torch.full((3,), 0.5)) + offset
    torch.testing.assert_close(shade, shade[:, :1].expand(-1, 3), atol=1e-6, rtol=0)
    assert 0.108 <= shade.min() < 0.2 and 0.8 < shade.max() <= 0.892
    matrix, offset = color_change(gray, 0.0, 0.1, step_generator(0, 0, CPU))
    assert torch.equal(matrix, torch.eye(3).expand_as(matrix))
    axes, values = torch.tensor(AXES), torch.tensor(AXES_VALUES)
    expected = axes @ torch.diag((0.1 * values) ** 2) @ axes.T
    torch.testing.assert_close(offset.T.cov(), expected, atol=3e-5, rtol=0.1)


def test_autocast_leaves_colours_alone():
    pixels = torch.rand(2, 3, 8, 8)
    plain = normalize_changed(pixels.clone(), 0.4, 0.1, step_generator(0, 0, CPU))
    with torch.autocast("cpu", torch.bfloat16):
        low = normalize_changed(pixels.clone(), 0.4, 0.1, step_generator(0, 0, CPU))
    assert torch.equal(plain, low)


def test_a_flip_alone_equals_the_general_warp():
    """The short way (no resampling) and the long one, whose shift of 1e-9 is none."""
    generator = torch.Generator().manual_seed(2)
    regions = torch.randint(0, 256, (12, 3, 20, 16), dtype=torch.uint8, generator=generator)
    landmarks = torch.rand(12, 3, 3, generator=generator) * torch.tensor([18.0, 22, 2])
    mirror = torch.tensor([1, 0, 2])
    for flip in (0.0, 1.0):
        short = warp_batch(regions, landmarks, (16, 20), mirror, Warp(flip=flip), generator)
        long = warp_batch(regions, landmarks, (16, 20), mirror, Warp(flip=flip, shift=1e-9), generator)
        torch.testing.assert_close(short[0], long[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(short[1], long[1], atol=1e-4, rtol=0)
    mixed, moved = warp_batch(regions, landmarks, (16, 20), mirror, Warp(flip=0.5), generator)
    turned = (mixed == regions.flip(-1) / 255).flatten(1).all(1)
    assert 2 <= turned.sum() <= 10 and torch.equal(mixed[~turned], regions[~turned] / 255)
    torch.testing.assert_close(moved[turned, 0, 0], 15 - landmarks[turned, 1, 0])


def test_random_crops_and_flips_go_through_warp_images():
    data = images()
    batch = data.__getitems__([0, 0])
    before = batch["image"].clone()
    pixels, boxes, _ = warp_images(batch, torch.tensor([1, 0, 2, 3]), Warp(flip=1.0), torch.Generator())
    torch.testing.assert_close(pixels, before.flip(-1) / 255)
    assert torch.equal(batch["image"], before)
    torch.testing.assert_close(boxes[..., 0], SIZE - 1 - batch["boxes"][..., 2])
