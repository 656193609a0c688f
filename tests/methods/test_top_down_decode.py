"""Decoders, cells and the flip test: how far off a perfect heatmap is read."""

import numpy as np
import pytest
import torch
from torch import nn

from fashion_ops.methods.parts.heatmaps import CellGrid, argmax_and_quarter, heatmap_targets
from fashion_ops.methods.top_down.decode import DecodeConfig, decode, predict_heatmaps
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.training import landmarker_spec
from fashion_ops.params import TrainLandmarker

CROP = (96, 128)
POINTS = torch.rand(1, 200, 2, generator=torch.Generator().manual_seed(0)) * 64 + 16


class Gaussians(nn.Module):
    """Perfect maps of ``POINTS``; every second call is for the mirrored crop."""

    def __init__(self, config: DecodeConfig) -> None:
        super().__init__()
        self.grid, self.mirrored = CellGrid(CROP, config.cells), False

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """The crops are not looked at."""
        points = torch.cat([POINTS, torch.ones_like(POINTS[..., :1])], -1)
        if self.mirrored:
            points[..., 0] = CROP[0] - 1 - points[..., 0]
        self.mirrored = not self.mirrored
        return heatmap_targets(points, self.grid, 2.0)[0]


def offsets(config: DecodeConfig) -> torch.Tensor:
    """What is read less what is true, (200, 2), pixels."""
    mirror = torch.arange(POINTS.shape[1]) if config.flip_test else None
    heat = predict_heatmaps(
        Gaussians(config), torch.zeros(1, 3, *CROP[::-1]), mirror, "mse", 2.0, shift=config.flip_shift
    )
    return (decode(heat, CROP, config)[..., :2] - POINTS)[0]


@pytest.mark.parametrize("flip_test", [False, True])
@pytest.mark.parametrize(
    ("decoder", "most"),
    [("argmax", 1.0), ("dark", 0.02), ("udp", 0.02), ("integral", 0.05)],  # argmax: a quarter cell
)
def test_what_each_decoder_leaves(decoder, most, flip_test):
    assert offsets(DecodeConfig(decoder, flip_test)).abs().max() <= most + 1e-4


def test_the_shift_mends_all_but_half_a_pixel():
    """HRNet's cells, by hand: without it 3/8 of a cell is missing, with it 1/8 is too much."""
    shifted = offsets(DecodeConfig("integral", flip_test=True, flip_shift=True))
    torch.testing.assert_close(shifted.mean(0), torch.tensor([0.5, 0.0]), atol=0.05, rtol=0)

    class NoShift(DecodeConfig):
        cells = "corners"

    left = offsets(NoShift("integral", flip_test=True))
    torch.testing.assert_close(left.mean(0), torch.tensor([-1.5, 0.0]), atol=0.05, rtol=0)


@pytest.mark.parametrize("kind", ["centers", "ends", "corners"])
def test_cells_and_pixels_are_inverse(kind):
    grid = CellGrid(CROP, kind)
    torch.testing.assert_close(grid.to_pixels(grid.to_cells(POINTS)), POINTS)


def test_cells_by_hand():
    last = torch.tensor([95.0, 127.0])
    assert CellGrid(CROP, "ends").to_cells(last).tolist() == pytest.approx([23, 31])
    assert CellGrid(CROP, "centers").to_cells(torch.tensor([1.5, 5.5])).tolist() == [0, 1]
    assert CellGrid(CROP, "corners").to_cells(torch.tensor([4.0, 8.0])).tolist() == [1, 2]


def test_a_quarter_towards_the_higher_neighbour():
    heat = torch.zeros(1, 2, 4, 5)
    heat[0, 0, 1, 2], heat[0, 0, 1, 1], heat[0, 0, 2, 2] = 1.0, 0.5, 0.3
    heat[0, 1, 0, 4] = 0.7  # in the corner: stays
    found = argmax_and_quarter(heat)[0]
    np.testing.assert_allclose(found, [[1.75, 1.25, 1], [4, 0, 0.7]], rtol=1e-6)


def test_udp_is_never_shifted():
    with pytest.raises(ValueError, match="flip_shift corrects cells that are not symmetric"):
        TrainLandmarker(decode="udp", flip_shift=True)


def test_a_model_is_not_read_with_other_cells():
    spec = landmarker_spec(TrainLandmarker(decode="dark"), "agg81", 0)
    model = LandmarkPredictor(nn.Identity(), spec, torch.device("cpu"))  # type: ignore[arg-type]
    assert model.with_decoding(decode="argmax", flip_test=False).decoding == DecodeConfig(
        "argmax", False, smoothing=1.5
    )
    with pytest.raises(ValueError, match="cells at their ends, the model was trained with cells at"):
        model.with_decoding(decode="udp")
