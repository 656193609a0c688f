"""DeepPose: patches where they should be, 17 networks, and corrections that help."""

import numpy as np
import pytest
import torch
from drawn_quads import PARAMS, error, quads

from fashion_ops.methods.alignment.deeppose.model import PATCH, PatchStage, cut_patches
from fashion_ops.methods.alignment.deeppose.training import train_deeppose


def test_patches_are_the_middle_120_of_224_pixels():
    pixels = torch.zeros(1, 1, 224, 224)
    pixels[..., 100:124, 60:84] = 1.0  # centre (72, 112), normalised (72/224 - .5, 0)
    center = torch.tensor([[72 / 224 - 0.5, 0.0]])
    patch = cut_patches(pixels, center)[0, 0]
    ys, xs = torch.nonzero(patch > 0.5, as_tuple=True)
    assert float(xs.float().mean()) == pytest.approx(111.5, abs=0.5)
    assert float(ys.float().mean()) == pytest.approx(111.5, abs=0.5)
    assert (xs.max() - xs.min() + 1).item() == pytest.approx(24 * 224 / 120, abs=2)


def test_corrections_are_in_sides_of_the_patch():
    stage = PatchStage("tiny", 32, 2, None, 0.0).eval()
    for net in stage.nets:
        torch.nn.init.zeros_(net.offset.weight)
        net.offset.bias.data = torch.tensor([0.5, 0.0])
    corrected = stage(torch.zeros(1, 3, 32, 32), torch.zeros(1, 2, 2))
    torch.testing.assert_close(corrected, torch.tensor([[[PATCH / 2, 0.0]]]).expand(1, 2, 2))


def test_patches_correct_the_first_stage():
    """On 160 new quadrilaterals stage 3 errs at most three quarters as much as stage 1."""
    train, test = quads(256, 1), quads(160, 2)
    crops, shapes = test.crops, test.shapes
    model = train_deeppose(PARAMS.model_copy(update={"epochs": 4}), train, 0)
    assert model.networks == 1 + 4 + 4
    first, last = (error(model.predict(crops, stages), shapes) for stages in (1, 3))
    assert last < 0.75 * first, (first, last)
    assert not np.array_equal(model.predict(crops, 2), model.predict(crops, 3))
