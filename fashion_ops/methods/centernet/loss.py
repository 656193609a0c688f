"""CenterNet's losses (facts a.3): penalty-reduced focal on heatmaps, L1 on what is regressed."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fashion_ops.methods.centernet.targets import Targets

WEIGHTS = {"hm": 1.0, "wh": 0.1, "reg": 1.0, "hps": 1.0, "hm_hp": 1.0, "hp_offset": 1.0}
LIMIT = 9.21024  # logit of 1 - 1e-4: the sigmoid stays within 1e-4 .. 1 - 1e-4


class _Focal(torch.autograd.Function):
    """The focal sum with its gradient written out.

    The heatmaps of 81 groups have millions of cells a batch; autograd would keep a dozen copies.
    Picture by picture, so that the working set stays in the processor's cache.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, logits: Tensor, target: Tensor) -> Tensor:
        gradient = torch.empty_like(logits)
        total = logits.new_zeros((), dtype=torch.float32)
        last = (0, 2, 3, 1)  # channels last, as they lie in memory
        pictures = zip(logits.permute(last), target.permute(last), gradient.permute(last), strict=True)
        for x, gt, out in pictures:
            p = x.clamp(-LIMIT, LIMIT).float().sigmoid_()
            log_miss = (1 - p).log_()
            weight = (1 - gt).square_().square_().mul_(p).mul_(p)  # beta = 4, alpha = 2
            total -= torch.dot(weight.flatten(), log_miss.flatten())
            out.copy_(log_miss.mul_(p - 1).mul_(2).add_(p).mul_(weight))
        hit = (target == 1).nonzero(as_tuple=True)  # weight is 0 there
        p = logits[hit].float().clamp(-LIMIT, LIMIT).sigmoid()
        total -= ((1 - p).square() * p.log()).sum()
        gradient[hit] = ((1 - p).square() * (2 * p * p.log() - (1 - p))).to(gradient.dtype)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]  # noqa: ANN001
        (gradient,) = ctx.saved_tensors
        return gradient * grad.to(gradient.dtype), None


def focal(logits: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Penalty-reduced focal loss, alpha 2, beta 4, per positive cell (CenterNet eq. 1)."""
    positives = (target == 1).sum().clamp_min(1)
    return _Focal.apply(logits, target) / positives  # type: ignore[operator]


def masked_l1(
    predicted: Float[Tensor, "n c"],
    target: Float[Tensor, "n c"],
    mask: Bool[Tensor, "n c"] | None = None,
) -> Float[Tensor, ""]:
    """Mean absolute error over the coordinates under ``mask`` (all, if None)."""
    distance = (predicted.float() - target).abs()
    if mask is None:
        return distance.sum() / max(1, distance.numel())
    return (distance * mask).sum() / mask.sum().clamp_min(1)


def detection_losses(outputs: dict[str, Tensor], targets: Targets) -> dict[str, Tensor]:
    """The six losses and their weighted sum ``loss``; ``outputs`` as of ``CenterNet.at_cells``."""
    each = {
        "hm": focal(outputs["hm"], targets.hm),
        "wh": masked_l1(outputs["wh"], targets.wh),
        "reg": masked_l1(outputs["reg"], targets.reg),
        "hps": masked_l1(
            outputs["hps"], targets.hps.flatten(1), targets.hps_mask.repeat_interleave(2, dim=1)
        ),
        "hm_hp": focal(outputs["hm_hp"], targets.hm_hp),
        "hp_offset": masked_l1(outputs["hp_offset"], targets.hp_offset),
    }
    total = torch.stack([WEIGHTS[name] * value for name, value in each.items()]).sum()
    return {"loss": total, **each}
