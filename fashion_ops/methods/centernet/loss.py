"""CenterNet's losses (Zhou et al., 2019): penalty-reduced focal on heatmaps, L1 on regressions.

Two optional losses are not CenterNet's: cross-entropy between the categories at the centres, which
helps short schedules, and the position constraint on the displacements.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from fashion_ops.methods.centernet.targets import Targets
from fashion_ops.methods.parts.position_constraint import Constraint

WEIGHTS = {"hm": 1.0, "wh": 0.1, "reg": 1.0, "hps": 1.0, "hm_hp": 1.0, "hp_offset": 1.0}
LIMIT = 9.21024  # logit of 1 - 1e-4: the sigmoid stays within 1e-4 .. 1 - 1e-4


class _Focal(torch.autograd.Function):
    """The focal loss with its gradient computed in the forward pass.

    The heatmaps of 81 groups have millions of cells in a batch, and autograd would keep a dozen copies.
    Images are processed one by one, so that the working set stays in the processor's cache.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, logits: Tensor, target: Tensor) -> Tensor:
        """Compute ``focal`` and keep its gradient."""
        logits, target = logits.permute(0, 2, 3, 1), target.permute(0, 2, 3, 1)  # as in memory
        kept = torch.float32 if logits.dtype is torch.float16 else logits.dtype  # tails vanish in fp16
        gradient = torch.empty_like(logits, dtype=kept)
        total = logits.new_zeros((), dtype=torch.float32)
        for x, gt, out in zip(logits, target, gradient, strict=True):
            p = x.clamp(-LIMIT, LIMIT).float().sigmoid_()
            log_miss = (1 - p).log_()
            weight = (1 - gt).square_().square_().mul_(p).mul_(p)  # beta = 4, alpha = 2
            total -= torch.dot(weight.flatten(), log_miss.flatten())
            out.copy_(log_miss.mul_(p - 1).mul_(2).add_(p).mul_(weight))
        hit = (target == 1).nonzero(as_tuple=True)  # weight is 0 there
        p = logits[hit].clamp(-LIMIT, LIMIT).float().sigmoid()
        total -= ((1 - p).square() * p.log()).sum()
        gradient[hit] = ((1 - p).square() * (2 * p * p.log() - (1 - p))).to(kept)
        ctx.save_for_backward(gradient.permute(0, 3, 1, 2))
        ctx.positives, ctx.dtype = max(1, len(p)), logits.dtype  # type: ignore[attr-defined]
        return total / ctx.positives  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]  # noqa: ANN001
        """Return the kept gradient of ``logits``; ``target`` has none."""
        (gradient,) = ctx.saved_tensors
        return (gradient * (grad / ctx.positives).to(gradient.dtype)).to(ctx.dtype), None


def focal(logits: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Compute the penalty-reduced focal loss with alpha 2 and beta 4 (CenterNet eq. 1).

    Args:
        logits: of the heatmaps, before the sigmoid.
        target: heatmaps in 0..1; cells that are 1 are positive.

    Returns:
        The sum over all cells, divided by the number of positive cells.
    """
    return _Focal.apply(logits, target)  # type: ignore[return-value]


def masked_l1(
    predicted: Float[Tensor, "n c"],
    target: Float[Tensor, "n c"],
    mask: Bool[Tensor, "n c"] | None = None,
) -> Float[Tensor, ""]:
    """Compute the mean absolute error where ``mask`` is True, or of all if it is None; 0 if of none."""
    distance = (predicted.float() - target).abs()
    if mask is None:
        return distance.sum() / max(1, distance.numel())
    return (distance * mask).sum() / mask.sum().clamp_min(1)


def category_loss(heat: Float[Tensor, "b c h w"], targets: Targets) -> Float[Tensor, ""]:
    """Compute the mean cross-entropy over the categories at the garments' centres.

    It ranks the categories of a garment but does not say how high a heatmap should be.

    Args:
        heat: logits of the centre heatmaps, one channel for each category.
        targets: says where the centres are, and their categories.
    """
    logits = heat.permute(0, 2, 3, 1).flatten(0, 2)[targets.centers].float()
    return F.cross_entropy(logits, targets.category, reduction="sum") / max(1, len(logits))


def detection_losses(
    outputs: dict[str, Tensor],
    targets: Targets,
    category_weight: float = 0.0,
    constraint: Constraint | None = None,
) -> dict[str, Tensor]:
    """Compute all losses by name and their weighted sum ``loss``.

    Args:
        outputs: of one stack, from ``CenterNet.at_cells``.
        targets: of ``make_targets``.
        category_weight: weight of ``category_loss``; 0 as published.
        constraint: position constraint on the displacements; None as published.
    """
    weights = {**WEIGHTS, "category": category_weight}
    losses = {
        "category": category_loss(outputs["hm"], targets),
        "hm": focal(outputs["hm"], targets.hm),
        "wh": masked_l1(outputs["wh"], targets.wh),
        "reg": masked_l1(outputs["reg"], targets.reg),
        "hps": masked_l1(
            outputs["hps"], targets.hps.flatten(1), targets.hps_mask.repeat_interleave(2, dim=1)
        ),
        "hm_hp": focal(outputs["hm_hp"], targets.hm_hp),
        "hp_offset": masked_l1(outputs["hp_offset"], targets.hp_offset),
    }
    if constraint is not None:
        weights["position_constraint"] = constraint.weight
        losses["position_constraint"] = constraint.of_points(
            outputs["hps"].view_as(targets.hps), targets.hps, targets.hps_mask
        )
    total = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
    return {"loss": total, **losses}
