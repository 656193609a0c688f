"""Gaussians and their decoding."""

import numpy as np
import torch

from fashion_ops.methods.parts.heatmaps import (
    decode_peaks,
    render_gaussians,
    soft_argmax,
    to_cells,
    to_pixels,
)


def test_gaussian_values_by_hand():
    heat = render_gaussians(torch.tensor([[[3.0, 2.0]]]), (8, 6), sigma=2.0)[0, 0]
    assert heat.shape == (6, 8)
    assert heat[2, 3] == 1
    np.testing.assert_allclose(heat[2, 5], np.exp(-0.5), rtol=1e-6)
    np.testing.assert_allclose(heat[4, 5], np.exp(-1.0), rtol=1e-6)


def test_decoding_finds_sub_cell_centres():
    points = torch.rand(3, 50, 2, generator=torch.Generator().manual_seed(0)) * 20 + 2
    heat = render_gaussians(points, (24, 26), sigma=1.5)
    found = decode_peaks(heat)
    assert (points.frac() - 0.5).abs().min() < 0.05 < points.frac().std()  # off the grid
    torch.testing.assert_close(found[..., :2], points, atol=1e-3, rtol=0)
    assert (found[..., 2] > 0.9).all()


def test_decoding_survives_noise_flat_maps_and_borders():
    torch.manual_seed(0)
    noisy = render_gaussians(torch.tensor([[[10.3, 7.6]]]), (24, 20), 1.5)
    noisy = noisy + 0.02 * torch.randn_like(noisy)
    assert (decode_peaks(noisy)[0, 0, :2] - torch.tensor([10.3, 7.6])).norm() < 0.4
    flat = decode_peaks(torch.zeros(1, 1, 8, 8))
    assert torch.isfinite(flat).all() and flat[0, 0, 2] == 0
    corner = decode_peaks(render_gaussians(torch.tensor([[[0.0, 0.0]]]), (8, 8), 1.5))
    assert (corner[0, 0, :2].abs() <= 1).all()


def test_soft_argmax_is_the_mean_of_the_softmax():
    logits = torch.full((1, 1, 4, 5), -100.0)
    logits[0, 0, 1, 2] = logits[0, 0, 3, 4] = 0.0
    torch.testing.assert_close(soft_argmax(logits), torch.tensor([[[3.0, 2.0]]]))


def test_cells_and_pixels_are_inverse_and_centred():
    assert to_cells(torch.tensor(1.5), 4) == 0  # cell 0 covers pixels 0..3
    pixels = torch.linspace(-3, 100, 17)
    torch.testing.assert_close(to_pixels(to_cells(pixels, 4), 4), pixels)
