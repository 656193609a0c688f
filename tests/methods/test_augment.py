"""Augmentation moves landmarks with the pixels."""

import torch

from fashion_ops.methods.parts.augment import Warp, step_generator, warp_batch

SIZE = (48, 64)
CPU = torch.device("cpu")


def blob_batch(n: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """Regions 84x64 with one bright blob each, and its place as landmark 0; landmark 1 mirrors it."""
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(n, 1, 2, generator=generator) * torch.tensor([24.0, 34.0]) + 22
    ys, xs = torch.meshgrid(torch.arange(84.0), torch.arange(64.0), indexing="ij")
    d2 = (xs - points[..., :1, None].squeeze(1)) ** 2 + (ys - points[..., 1:, None].squeeze(1)) ** 2
    blobs = (255 * torch.exp(-d2 / 18)).to(torch.uint8)
    landmarks = torch.cat([points, torch.full((n, 1, 1), 2.0)], -1)
    absent = torch.zeros(n, 1, 3)
    return blobs[:, None].repeat(1, 3, 1, 1), torch.cat([landmarks, absent], 1)


def centroid(crops: torch.Tensor) -> torch.Tensor:
    gray = crops.mean(1)
    ys, xs = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    total = gray.sum((1, 2))
    return torch.stack([(gray * xs).sum((1, 2)) / total, (gray * ys).sum((1, 2)) / total], -1)


def test_without_augmentation_it_is_the_middle():
    regions, landmarks = blob_batch()
    crops, moved = warp_batch(
        regions, landmarks, SIZE, torch.tensor([1, 0]), Warp(), step_generator(0, 0, CPU)
    )
    torch.testing.assert_close(crops, regions[:, :, 10:74, 8:56].float() / 255, atol=1e-4, rtol=0)
    torch.testing.assert_close(moved[:, 0, :2], landmarks[:, 0, :2] - torch.tensor([8.0, 10.0]))


def test_landmarks_follow_the_pixels():
    regions, landmarks = blob_batch()
    warp = Warp(flip=0.5, rotation=15, scale=0.1, shift=0.02)
    crops, moved = warp_batch(
        regions, landmarks, SIZE, torch.tensor([1, 0]), warp, step_generator(0, 3, CPU)
    )
    flipped = moved[:, 0, 2] == 0  # a flip hands the visible landmark to its mirror
    assert 4 < flipped.sum() < 20
    where = torch.where(flipped[:, None], moved[:, 1, :2], moved[:, 0, :2])
    inside = ((where > 10) & (where < torch.tensor([37.0, 53.0]))).all(
        -1
    )  # whole blobs only: a cut one has its centroid elsewhere
    assert inside.sum() >= 10
    assert (centroid(crops)[inside] - where[inside]).norm(dim=-1).max() < 0.6


def test_what_leaves_the_crop_is_not_labelled():
    regions, landmarks = blob_batch(1)
    landmarks[0, 0, :2] = torch.tensor([2.0, 40.0])  # in the margin, left of the crop
    _, moved = warp_batch(
        regions, landmarks, SIZE, torch.tensor([1, 0]), Warp(), step_generator(0, 0, CPU)
    )
    assert moved[0, 0, 2] == 0


def test_noise_depends_on_seed_and_step_only():
    regions, landmarks = blob_batch()
    warp = Warp(0.5, 10, 0.1, 0.05, 0.3)

    def crops(seed: int, step: int) -> torch.Tensor:
        generator = step_generator(seed, step, CPU)
        return warp_batch(regions, landmarks, SIZE, torch.tensor([1, 0]), warp, generator)[0]

    assert torch.equal(crops(0, 5), crops(0, 5))
    assert not torch.equal(crops(0, 5), crops(0, 6))
    assert not torch.equal(crops(0, 5), crops(1, 5))
