"""The pseudo-labels of a training batch, computed on its device: ``PseudoLabels.soft`` in torch.

A step that went through numpy would make the host wait for the GPU. The formulas are those of
``parts.pseudo_labels`` and ``parts.contextual_kmeans``, in double precision like theirs.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fashion_ops.methods.alignment.dfa.targets import PseudoLabels
from fashion_ops.methods.parts.frames import SIDE as FRAME


class SoftLabels(nn.Module):
    """Maps positions of a batch to soft labels; the centres move to its device with the module."""

    def __init__(self, labels: PseudoLabels) -> None:
        super().__init__()
        self.space, self.temperature = labels.space, labels.temperature
        self.register_buffer("centers", torch.from_numpy(labels.centers).double(), persistent=False)

    @torch.no_grad()
    def forward(
        self,
        positions: Float[Tensor, "b n 2"],
        previous: Float[Tensor, "b n 2"] | None,
        observed: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b k"]:
        """Compute soft labels that sum to 1, in the dtype of ``positions``.

        Args:
            positions: true positions, normalised.
            previous: the previous stage's, normalised; None for configurations.
            observed: landmarks that are not observed do not count.
        """
        true = positions.double()
        if self.space == "configuration":
            values = (true + 0.5) * FRAME
        else:
            assert previous is not None, f"space {self.space!r} needs the previous stage's positions"
            values = (previous.double() - true) * FRAME
        mask = observed.repeat_interleave(2, 1, output_size=2 * observed.shape[1]).double()
        points = torch.where(mask > 0, values.flatten(1), 0.0)
        size, seen = mask.shape[1], mask.sum(1, keepdim=True).clamp_min(1)
        centers, norm = self.get_buffer("centers"), points.square().sum(1, keepdim=True)
        if self.space == "context":
            products = torch.einsum("bi,kij,bj->bk", points, centers, points)
            squares = torch.einsum("bi,kij,bj->bk", mask, centers.square(), mask)
            total, weight = norm.square() - 2 * products + squares, (size / seen).square()
        else:
            flat = centers.flatten(1)
            total = norm - 2 * points @ flat.T + mask @ flat.square().T
            weight = size / seen
        distances = (total.clamp_min(0) * weight).sqrt()
        return (-distances / self.temperature).softmax(1).to(positions)
