"""Gradients are clipped as torch clips them, and small ones are not touched."""

import pytest
import torch
from torch import nn

from fashion_ops.methods.parts.training_module import clip_gradients

LIMIT = 5.0


@pytest.mark.parametrize("norm", [LIMIT / 3, LIMIT * 3])
def test_as_torch_clips_them(norm: float) -> None:
    ours, theirs = (nn.Linear(4, 3) for _ in range(2))
    direction = torch.randn(15, generator=torch.Generator().manual_seed(0))
    direction *= norm / direction.norm()
    for model in (ours, theirs):
        model.weight.grad, model.bias.grad = direction[:12].view(3, 4).clone(), direction[12:].clone()
        model.unused = nn.Linear(2, 2)  # as in DLA
    clip_gradients(ours, LIMIT)
    nn.utils.clip_grad_norm_(theirs.parameters(), LIMIT)
    for a, b in zip((ours.weight, ours.bias), (theirs.weight, theirs.bias), strict=True):
        assert a.grad is not None and b.grad is not None
        assert torch.equal(a.grad, b.grad)
    total = torch.cat([ours.weight.grad.flatten(), ours.bias.grad]).norm()  # type: ignore[union-attr]
    assert float(total) == pytest.approx(min(norm, LIMIT), rel=1e-5)
