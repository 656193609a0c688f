"""RealNVP: a density over the plane that training can shape (Dinh et al., ICLR 2017).

The flow of "Human Pose Regression with Residual Log-likelihood Estimation" (Li et al., ICCV 2021,
arXiv 2107.11291): six affine couplings, each of which moves one coordinate by what two small networks
say of the other.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fashion_ops.methods.parts.precision import full_precision

COUPLINGS = 6
WIDTH = 64  # of the hidden layers


def _network(last: nn.Module) -> nn.Sequential:
    """Two hidden layers from one number to one."""
    layers = [nn.Linear(1, WIDTH), nn.LeakyReLU(), nn.Linear(WIDTH, WIDTH), nn.LeakyReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 1), last)


class RealNVP(nn.Module):
    """A density over pairs of numbers, a standard normal before training."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_network(nn.Tanh()) for _ in range(COUPLINGS))
        self.moves = nn.ModuleList(_network(nn.Identity()) for _ in range(COUPLINGS))
        for network in (*self.scales, *self.moves):
            assert isinstance(network, nn.Sequential)
            last = network[-2]
            assert isinstance(last, nn.Linear) and last.bias is not None
            nn.init.zeros_(last.weight)  # the identity to begin with
            nn.init.zeros_(last.bias)

    def log_prob(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
        """Compute the log of the density at points, by moving them to a standard normal."""
        with full_precision():
            z, log_det = list(x.float().unbind(-1)), torch.zeros_like(x[:, 0], dtype=torch.float32)
            for i in reversed(range(COUPLINGS)):
                given = z[i % 2][:, None]
                scale = self.scales[i](given)[:, 0]
                moved = 1 - i % 2
                z[moved] = (z[moved] - self.moves[i](given)[:, 0]) * (-scale).exp()
                log_det = log_det - scale
            return log_det - (z[0] ** 2 + z[1] ** 2) / 2 - math.log(2 * math.pi)
