"""The network of a stage: a VGG backbone that takes the previous positions at fc6, and three heads.

Stage 1 sees the crop alone and regresses positions. Stages 2 and 3 also take the positions of the
previous stage and predict five times the error of these: ``new = previous - output / 5``. Factor, sign
and the place where positions enter (concatenated to fc6 before its ReLU) are those of the authors'
release. By the paper's Table 5 stage 3 also takes stage 2's pseudo-labels, which enter beside them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fashion_ops.methods.alignment.vgg import VGGBackbone
from fashion_ops.methods.parts.precision import full_precision

OFFSET_SCALE = 5.0
STATES = 3  # visible, occluded, inexistent: the order of the visibility logits


@dataclass(frozen=True)
class Output:
    """A network's predictions for B crops.

    Attributes:
        positions: normalised.
        visibility: logits of visible, occluded and inexistent.
        labels: logits of the pseudo-labels; K = 0 for a network without them.
    """

    positions: Float[Tensor, "b n 2"]
    visibility: Float[Tensor, "b n 3"]
    labels: Float[Tensor, "b k"]


class StageNet(nn.Module):
    """One CNN of the cascade.

    Args:
        backbone: a name of ``alignment.vgg``.
        input_size: side of the crops, pixels.
        landmarks: n.
        clusters: K of the pseudo-labels; 0 builds no such head.
        cascade: whether it takes previous positions (stages 2 and 3).
        pretrained: torchvision's name of the weights, or None.
        dropout: after fc6 and fc7.
        label_inputs: number of the previous stage's pseudo-labels that a cascade network takes.
    """

    def __init__(
        self,
        backbone: str,
        input_size: int,
        landmarks: int,
        clusters: int,
        cascade: bool,
        pretrained: str | None = None,
        dropout: float = 0.5,
        label_inputs: int = 0,
    ) -> None:
        super().__init__()
        self.landmarks, self.clusters, self.cascade = landmarks, clusters, cascade
        self.label_inputs = label_inputs
        self.trunk = VGGBackbone(backbone, input_size, pretrained)
        width = self.trunk.width
        joined = width
        if cascade:
            self.fc_previous = nn.Linear(2 * landmarks + label_inputs, width // 8)
            joined += width // 8
        self.fc7 = nn.Linear(joined, width)
        if self.trunk.fc7_pretrained is not None:
            _copy_columns(self.fc7, self.trunk.fc7_pretrained)
        self.dropout = nn.Dropout(dropout)
        self.positions = nn.Linear(width, 2 * landmarks)
        self.visibility = nn.Linear(width, STATES * landmarks)
        self.labels = nn.Linear(width, clusters) if clusters else None
        for head in (self.positions, self.visibility, self.labels):
            if head is not None:
                nn.init.normal_(head.weight, std=0.001)
                nn.init.zeros_(head.bias)

    def forward(
        self,
        pixels: Float[Tensor, "b 3 s s"],
        previous: Float[Tensor, "b n 2"] | None = None,
        share: float = 1.0,
        labels: Float[Tensor, "b i"] | None = None,
    ) -> Output:
        """Predict positions, visibility and pseudo-labels.

        Args:
            pixels: crops that ``normalize`` has normalised.
            previous: positions of the previous stage, normalised; needed if ``cascade`` is True.
            share: how much of the gradient of visibility and pseudo-labels reaches the backbone; their
                heads always receive all of it.
            labels: pseudo-labels of the previous stage; needed if ``label_inputs`` is not 0.
        """
        x = self.embed(pixels, previous, labels)
        with full_precision():
            return self.read_out(x.float(), previous, share)

    def embed(
        self,
        pixels: Float[Tensor, "b 3 s s"],
        previous: Float[Tensor, "b n 2"] | None = None,
        labels: Float[Tensor, "b i"] | None = None,
    ) -> Float[Tensor, "b w"]:
        """Compute fc7, which the heads read; arguments as of ``forward``."""
        x = self.trunk(pixels)
        if self.cascade:
            assert previous is not None, "stages 2 and 3 need the positions of the previous stage"
            before = previous.flatten(1)
            if self.label_inputs:
                assert labels is not None, "the network takes the previous stage's pseudo-labels"
                before = torch.cat([before, labels], 1)
            x = torch.cat([x, self.fc_previous(before.to(x.dtype))], 1)
        return self.dropout(F.relu(self.fc7(self.dropout(F.relu(x)))))

    def read_out(
        self,
        x: Float[Tensor, "b w"],
        previous: Float[Tensor, "b n 2"] | None = None,
        share: float = 1.0,
    ) -> Output:
        """Compute the three heads from fc7 in fp32; other arguments as of ``forward``."""
        auxiliary = x if share == 1.0 else share * x + (1 - share) * x.detach()
        out = self.positions(x).view(-1, self.landmarks, 2)
        return Output(
            previous - out / OFFSET_SCALE if self.cascade and previous is not None else out,
            self.visibility(auxiliary).view(-1, self.landmarks, STATES),
            x.new_zeros(x.shape[0], 0) if self.labels is None else self.labels(auxiliary),
        )

    def warm_start(self, other: "StageNet") -> None:
        """Copy all weights of an equal network, or those that fit from one of the previous stage.

        A network of stage 2 then starts by predicting nearly the positions of stage 1.
        """
        equal = other.cascade == self.cascade and other.label_inputs == self.label_inputs
        if equal and other.clusters == self.clusters:
            self.load_state_dict(other.state_dict())
            return
        self.trunk.load_state_dict(other.trunk.state_dict())
        if other.cascade == self.cascade:
            self.fc7.load_state_dict(other.fc7.state_dict())
            _copy_columns(self.fc_previous, other.fc_previous)
            self.positions.load_state_dict(other.positions.state_dict())
        else:
            _copy_columns(self.fc7, other.fc7)
        self.visibility.load_state_dict(other.visibility.state_dict())


def _copy_columns(target: nn.Linear, source: nn.Linear) -> None:
    """Copy the weights of ``source`` into the first columns of ``target``, and its bias.

    ``target`` has as many outputs and at least as many inputs.
    """
    with torch.no_grad():
        target.weight[:, : source.in_features].copy_(source.weight)
        target.bias.copy_(source.bias)
