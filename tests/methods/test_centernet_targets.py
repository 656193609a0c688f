import math

import numpy as np
import pytest
import torch

from fashion_ops.methods.centernet.codec import from_grid, to_grid
from fashion_ops.methods.centernet.targets import gaussian_radius, make_targets
from fashion_ops.taxonomy import load_grouping

SIZE, SIDE = 64, 16

# Height, width in cells: radius as released, radius with the roots divided by 2a.
RADII = [
    (8, 8, 2, 0),
    (16, 16, 4, 1),
    (32, 32, 8, 2),
    (48, 32, 10, 3),
    (64, 64, 17, 5),
    (60, 20, 8, 2),
]


@pytest.mark.parametrize(("height", "width", "published", "corrected"), RADII)
def test_radius_table(height, width, published, corrected):
    h, w = torch.tensor([float(height)]), torch.tensor([float(width)])
    assert gaussian_radius(h, w, "published").item() == published
    assert gaussian_radius(h, w, "corrected").item() == corrected


def random_batch(seed, images=4, most=3, groups=7):
    rng = np.random.default_rng(seed)
    low = rng.uniform(-8, 40, (images, most, 2))
    boxes = np.concatenate([low, low + rng.uniform(4, 50, (images, most, 2))], -1)
    category = rng.integers(0, 14, (images, most))
    landmarks = np.concatenate(
        [
            rng.uniform(-10, SIZE + 10, (images, most, groups, 2)),
            rng.integers(0, 3, (images, most, groups, 1)),
        ],
        -1,
    )
    return (
        torch.from_numpy(boxes.astype(np.float32)),
        torch.from_numpy(category),
        torch.from_numpy(landmarks.astype(np.float32)),
    )


def slow_radius(height, width):
    """CornerNet's formula as released, one box; the third case is always the smallest."""
    a, b, c = 2.8, -1.4 * (height + width), -0.3 * height * width
    return max(0, int((b + math.sqrt(b * b - 4 * a * c)) / 2))


def slow_gaussian(plane, x, y, radius):
    sigma = (2 * radius + 1) / 6
    for row in range(max(0, y - radius), min(SIDE, y + radius + 1)):
        for column in range(max(0, x - radius), min(SIDE, x + radius + 1)):
            value = math.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * sigma**2))
            plane[row, column] = max(plane[row, column], value)


def slow_targets(boxes, category, landmarks):
    """One garment after the other, as the paper tells it."""
    images, most, groups, _ = landmarks.shape
    hm, hm_hp = np.zeros((images, 13, SIDE, SIDE)), np.zeros((images, groups, SIDE, SIDE))
    garments, points = [], []
    for b in range(images):
        for m in range(most):
            x1, y1, x2, y2 = np.clip((boxes[b, m] + 0.5) / 4, 0, SIDE)
            if category[b, m] == 0 or x2 <= x1 or y2 <= y1:
                continue
            cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
            ix, iy = int(cx), int(cy)
            radius = slow_radius(math.ceil(y2 - y1), math.ceil(x2 - x1))
            slow_gaussian(hm[b, category[b, m] - 1], ix, iy, radius)
            hps, mask = np.zeros((groups, 2)), np.zeros(groups, bool)
            for k in range(groups):
                px, py = (landmarks[b, m, k, :2] + 0.5) / 4
                if landmarks[b, m, k, 2] > 0 and 0 <= px < SIDE and 0 <= py < SIDE:
                    slow_gaussian(hm_hp[b, k], int(px), int(py), radius)
                    hps[k], mask[k] = (px - ix, py - iy), True
                    points.append(((b * SIDE + int(py)) * SIDE + int(px), px - int(px), py - int(py)))
            garments.append(
                ((b * SIDE + iy) * SIDE + ix, (x2 - x1, y2 - y1), (cx - ix, cy - iy), hps, mask)
            )
    return hm, hm_hp, garments, np.array(points)


@pytest.mark.parametrize("seed", range(5))
def test_targets_equal_the_slow_reference(seed):
    batch = random_batch(seed)
    t = make_targets(*batch, SIZE, "published")
    hm, hm_hp, garments, points = slow_targets(*(x.numpy() for x in batch))
    np.testing.assert_allclose(t.hm, hm, atol=1e-6)
    np.testing.assert_allclose(t.hm_hp, hm_hp, atol=1e-6)
    assert (t.hm == 1).sum() == (hm == 1).sum() and (t.hm_hp == 1).sum() == (hm_hp == 1).sum()
    cells, wh, reg, hps, mask = (np.array(x) for x in zip(*garments, strict=True))
    np.testing.assert_array_equal(t.centers, cells)
    np.testing.assert_allclose(t.wh, wh, atol=1e-5)
    np.testing.assert_allclose(t.reg, reg, atol=1e-5)
    np.testing.assert_array_equal(t.hps_mask, mask)
    np.testing.assert_allclose((t.hps * t.hps_mask[..., None]), hps, atol=1e-5)
    np.testing.assert_array_equal(t.points, points[:, 0])
    np.testing.assert_allclose(t.hp_offset, points[:, 1:], atol=1e-5)


def test_a_garment_without_landmarks_trains_its_box():
    boxes, category, landmarks = random_batch(0)
    category[:] = 0
    category[1, 0] = 4
    landmarks[..., 2] = 0
    boxes[1, 0] = torch.tensor([8.0, 8.0, 40.0, 56.0])
    t = make_targets(boxes, category, landmarks, SIZE, "published")
    assert t.wh.tolist() == [[8.0, 12.0]] and len(t.points) == 0 and not t.hps_mask.any()
    assert t.hm[1, 3].max() == 1 and t.hm.sum() == t.hm[1, 3].sum() and t.hm_hp.sum() == 0


def test_a_batch_without_garments():
    boxes, category, landmarks = random_batch(0)
    t = make_targets(boxes, torch.zeros_like(category), landmarks, SIZE, "published")
    assert t.hm.sum() == 0 and t.hm_hp.sum() == 0 and len(t.centers) == len(t.points) == 0


def test_grid_and_back():
    pixels = torch.tensor([-0.5, 0.0, 63.5])
    assert to_grid(pixels).tolist() == [0.0, 0.125, 16.0]
    assert torch.equal(from_grid(to_grid(pixels)), pixels)


def test_a_flipped_image_has_flipped_targets():
    """x -> W-1-x on pixels and the mirror permutation on groups do the same before and after."""
    mirror = torch.from_numpy(load_grouping("agg81").mirror())
    boxes, category, landmarks = random_batch(3, groups=81)
    plain = make_targets(boxes, category, landmarks, SIZE, "published")
    turned = SIZE - 1 - boxes[..., [2, 1, 0, 3]]
    turned[..., [1, 3]] = boxes[..., [1, 3]]
    moved = landmarks[:, :, mirror].clone()
    moved[..., 0] = SIZE - 1 - moved[..., 0]
    flipped = make_targets(turned, category, moved, SIZE, "published")
    torch.testing.assert_close(flipped.hm, plain.hm.flip(-1))
    torch.testing.assert_close(flipped.hm_hp, plain.hm_hp[:, mirror].flip(-1))
    torch.testing.assert_close(flipped.wh, plain.wh)
    torch.testing.assert_close(flipped.reg[:, 0], 1 - plain.reg[:, 0])


def test_cells_around_a_centre_point_to_the_same_garment():
    boxes, category, landmarks = random_batch(2)
    one = make_targets(boxes, category, landmarks, SIZE, "published")
    nine = make_targets(boxes, category, landmarks, SIZE, "published", center_reach=1)
    assert torch.equal(nine.hm, one.hm) and torch.equal(nine.points, one.points)
    cells = torch.stack([nine.centers % SIDE, nine.centers // SIDE % SIDE], -1)
    found = torch.cat([cells + nine.reg, nine.wh, nine.category[:, None]], 1)
    own = torch.stack([one.centers % SIDE, one.centers // SIDE % SIDE], -1)
    expected = torch.cat([own + one.reg, one.wh, one.category[:, None]], 1)
    garment = (found[:, None] - expected).abs().amax(-1).argmin(1)
    torch.testing.assert_close(found, expected[garment])
    torch.testing.assert_close(cells[:, None] + nine.hps, (own[:, None] + one.hps)[garment])
    for i, (x, y) in enumerate(own.tolist()):
        inside = (min(x + 1, SIDE - 1) - max(x - 1, 0) + 1) * (min(y + 1, SIDE - 1) - max(y - 1, 0) + 1)
        assert (garment == i).sum() == inside
