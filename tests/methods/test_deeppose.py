"""DeepPose: patches where they should be, 17 networks, and corrections that help."""

import numpy as np
import pytest
import torch
from drawn_quads import PARAMS, error, quads

from fashion_ops.methods.alignment.data import AlignmentSamples
from fashion_ops.methods.alignment.deeppose.model import PATCH, PatchStage, cut_patches
from fashion_ops.methods.alignment.deeppose.module import PatchModule
from fashion_ops.methods.alignment.deeppose.training import train_deeppose
from fashion_ops.methods.parts.augment import step_generator


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
    corrected, _ = stage(torch.zeros(1, 3, 32, 32), torch.zeros(1, 2, 2))
    torch.testing.assert_close(corrected, torch.tensor([[[PATCH / 2, 0.0]]]).expand(1, 2, 2))


def test_patches_correct_the_first_stage():
    """On 160 new quadrilaterals stage 3 errs at most three quarters as much as stage 1."""
    train, test = quads(256, 1), quads(160, 2)
    crops, shapes = test.crops, test.shapes
    model = train_deeppose(PARAMS.model_copy(update={"epochs": 4}), train, 0)
    assert model.networks == 1 + 4 + 4
    estimates = [model.predict(crops, stages) for stages in (1, 2, 3)]
    first, second, last = (error(e.positions, shapes) for e in estimates)
    assert last < 0.75 * first, (first, last)
    assert second != last
    # Table 5: all stages learn visibility, here that most corners are visible (untrained: a third).
    for estimate in estimates:
        np.testing.assert_allclose(estimate.visibility.sum(-1), 1, atol=1e-5)
        assert estimate.visibility[..., 0].mean() > 0.6 and estimate.visibility.shape == (160, 4, 3)


def test_a_patchs_loss_is_in_sides_of_the_patch():
    """What a network predicts is what its loss stands on, as in DFA's cascade; visibility joins it."""
    data = quads(8, 3)
    still = {"flip": 0.0, "scale": 0.0, "shift": 0.0, "color": 0.0}
    module = PatchModule(
        PatchStage("tiny", 32, 4, None, 0.0), PARAMS.model_copy(update=still), data.mirror, 0
    )
    for net in module.model.nets:
        torch.nn.init.zeros_(net.offset.weight)
    type(module).progress = property(lambda _: 0.0)
    samples = AlignmentSamples(data.crops, data.shapes, data.shapes.positions + 0.1)
    losses = module.losses(
        samples.__getitems__(list(range(8))), step_generator(0, 0, torch.device("cpu"))
    )
    observed = data.shapes.observed.sum(1).mean()
    assert losses["position"].item() == pytest.approx(observed * (0.1 / PATCH) ** 2, rel=1e-4)
    assert losses["visibility"].item() == pytest.approx(np.log(3), abs=0.05)
