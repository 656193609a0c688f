"""The neck of "Simple Baselines" (Xiao et al., ECCV 2018), for all who read a ResNet's last map."""

from torch import Tensor, nn


class Deconvolutions(nn.Module):
    """Three 4x4 transposed convolutions from stride 32 to 4."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for n in (inputs, width, width):
            deconv = nn.ConvTranspose2d(n, width, 4, 2, 1, bias=False)
            nn.init.normal_(deconv.weight, std=0.001)
            self.layers.extend([deconv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """The coarsest map to one map (B, width, H/4, W/4), the only stack."""
        return [self.layers(maps[-1])]
