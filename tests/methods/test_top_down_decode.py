"""Decoders, cells and the flip test: how far off a perfect heatmap is read."""

import numpy as np
import pytest
import torch
from torch import nn

from fashion_ops.methods.top_down.cells import to_cells, to_pixels
from fashion_ops.methods.top_down.decode import Reading, argmax_and_quarter, decode, predict_heatmaps
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.targets import heatmap_targets
from fashion_ops.methods.top_down.training import landmarker_spec
from fashion_ops.params import TrainLandmarker

CROP = (96, 128)
POINTS = torch.rand(1, 200, 2, generator=torch.Generator().manual_seed(0)) * 64 + 16


class Gaussians(nn.Module):
    """Perfect maps of ``POINTS``; every second call is for the mirrored crop."""

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self.cells, self.mirrored = reading.cells, False

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """The crops are not looked at."""
        points = torch.cat([POINTS, torch.ones_like(POINTS[..., :1])], -1)
        if self.mirrored:
            points[..., 0] = CROP[0] - 1 - points[..., 0]
        self.mirrored = not self.mirrored
        return heatmap_targets(points, CROP, 2.0, self.cells)[0]


def offsets(reading: Reading) -> torch.Tensor:
    """What is read less what is true, (200, 2), pixels."""
    mirror = torch.arange(POINTS.shape[1]) if reading.flip_test else None
    heat = predict_heatmaps(
        Gaussians(reading), torch.zeros(1, 3, *CROP[::-1]), mirror, "mse", 2.0, shift=reading.flip_shift
    )
    return (decode(heat, CROP, reading)[..., :2] - POINTS)[0]


@pytest.mark.parametrize("flip_test", [False, True])
@pytest.mark.parametrize(
    ("decoder", "most"),
    [("argmax", 1.0), ("dark", 0.02), ("udp", 0.02), ("integral", 0.05)],  # argmax: a quarter cell
)
def test_what_each_decoder_leaves(decoder, most, flip_test):
    assert offsets(Reading(decoder, flip_test)).abs().max() <= most + 1e-4


def test_the_shift_mends_all_but_half_a_pixel():
    """HRNet's cells, by hand: without it 3/8 of a cell is missing, with it 1/8 is too much."""
    shifted = offsets(Reading("integral", flip_test=True, flip_shift=True))
    torch.testing.assert_close(shifted.mean(0), torch.tensor([0.5, 0.0]), atol=0.05, rtol=0)

    class NoShift(Reading):
        cells = "corners"

    left = offsets(NoShift("integral", flip_test=True))
    torch.testing.assert_close(left.mean(0), torch.tensor([-1.5, 0.0]), atol=0.05, rtol=0)


@pytest.mark.parametrize("kind", ["centers", "ends", "corners"])
def test_cells_and_pixels_are_inverse(kind):
    torch.testing.assert_close(to_pixels(to_cells(POINTS, CROP, kind), CROP, kind), POINTS)


def test_cells_by_hand():
    last = torch.tensor([95.0, 127.0])
    assert to_cells(last, CROP, "ends").tolist() == pytest.approx([23, 31])
    assert to_cells(torch.tensor([1.5, 5.5]), CROP, "centers").tolist() == [0, 1]
    assert to_cells(torch.tensor([4.0, 8.0]), CROP, "corners").tolist() == [1, 2]


def test_a_quarter_towards_the_higher_neighbour():
    heat = torch.zeros(1, 2, 4, 5)
    heat[0, 0, 1, 2], heat[0, 0, 1, 1], heat[0, 0, 2, 2] = 1.0, 0.5, 0.3
    heat[0, 1, 0, 4] = 0.7  # in the corner: stays
    found = argmax_and_quarter(heat)[0]
    np.testing.assert_allclose(found, [[1.75, 1.25, 1], [4, 0, 0.7]], rtol=1e-6)


def test_udp_is_never_shifted():
    with pytest.raises(ValueError, match="flip_shift mends cells that lie askew"):
        TrainLandmarker(decode="udp", flip_shift=True)


def test_a_model_is_not_read_with_other_cells():
    spec = landmarker_spec(TrainLandmarker(decode="dark"), "agg81", 0)
    model = LandmarkPredictor(nn.Identity(), spec, torch.device("cpu"))  # type: ignore[arg-type]
    assert model.read_as(decode="argmax", flip_test=False).reading == Reading("argmax", False)
    with pytest.raises(ValueError, match="cells at their ends, the model was trained with cells at"):
        model.read_as(decode="udp")
