"""The networks of a plan: multiply-accumulates, operations, parameters, from ``methods.describe``."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from fashion_ops.methods.alignment.describe import describe_alignment, describe_gle
from fashion_ops.methods.costs import costs
from fashion_ops.methods.describe import describe
from fashion_ops.params import DfaStage, GLEConfig, Params, TrainBoxDetector

ASPECT = 1.5  # longer over shorter side of a photo
PROPOSALS = 1000  # boxes of a photo that the cascade's stages see at test time
POSITIVES = 0.25  # share of the sampled boxes that the mask heads train on


@dataclass(frozen=True)
class Network:
    """What one network costs for one input.

    Attributes:
        macs: multiply-accumulates of a forward pass at inference.
        training_macs: those of a forward pass in training, which has more heads.
        launches: operations that a forward pass starts, for a batch of any size.
        parameters: that training exchanges between devices.
    """

    macs: float
    training_macs: float
    launches: int
    parameters: int

    @classmethod
    def of(cls, description: dict[str, Any]) -> "Network":
        """Take the numbers from a description of ``methods.describe``."""
        macs = description["macs"]
        training = macs + description["training_only"]["macs"]
        return cls(macs, training, description["launches"], description["parameters"])


def networks(params: Params) -> dict[str, Network]:
    """The networks of ``params``: ``detector``, ``landmarker``, and ``refiner`` with most landmarks."""
    return {name: Network.of(describe(name, params)) for name in ("detector", "landmarker", "refiner")}


def dfa_networks(config: DfaStage) -> list[Network]:
    """The networks of DFA's three stages; a stage with two networks counts as their sum."""
    stages = describe_alignment("dfa", config)["stages"]
    return [
        Network(s["macs"], s["macs"] * s["networks"] / s["passes"], 60, s["parameters"]) for s in stages
    ]


def gle_network(config: GLEConfig) -> Network:
    """The network of GLE with all of its modules."""
    return Network.of(describe_gle(config))


def box_detector(config: TrainBoxDetector) -> Network:
    """Cascade R-CNN or HTC on a photo whose shorter side has ``short_side`` pixels.

    Counts backbone, pyramid, proposal head, semantic branch, box heads and, in training, mask heads.
    Pooling, matching and NMS are left out.
    """
    return _box_detector(config.model_dump_json())


@cache
def _box_detector(settings: str) -> Network:
    """Count ``box_detector``, once for equal settings (JSON of a ``TrainBoxDetector``)."""
    config = TrainBoxDetector.model_validate_json(settings)
    from fashion_ops.methods.detection.model import Architecture, CascadeRCNN

    with torch.device("meta"):
        model = CascadeRCNN(Architecture.of(config.model_dump())).eval()
        width, height = (_multiple(config.short_side * side) for side in (1.0, ASPECT))
        pixels = torch.empty(1, 3, height, width)
        heads = model.roi_heads

        def forward(boxes: int, masks: int) -> None:
            maps = model.backbone(pixels)
            model.rpn.head(list(maps.values()))
            channels = next(iter(maps.values())).shape[1]
            if heads.semantic is not None:
                heads.semantic(maps)
            for stage in heads.stages:
                stage(torch.empty(boxes, channels, 7, 7))
            if heads.masks is not None:
                for head in heads.masks.heads:
                    convs: Any = head.convs
                    convs(torch.empty(masks, channels, 14, 14))

        test, train = (PROPOSALS, 5), (config.samples, round(POSITIVES * config.samples))
        found = costs(model, lambda: forward(*test), lambda: forward(*train))
    return Network.of(found)


def _multiple(side: float) -> int:
    """Round a side up to what the network takes, a multiple of 32 pixels."""
    return -(-round(side) // 32) * 32
