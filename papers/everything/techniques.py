"""The rows of the table: what each technique changes of the common baseline.

The baseline is a plain top-down network: 294 channels, no flip in training or at test, the highest cell
with the quarter-cell shift, scores over all channels, no pseudo-labels, no shape prior. A row switches
one thing on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fashion_ops.params import Params
from papers import landmarker_runs as runs

BASE, ALL = "baseline", "all that the demo uses"
AGG, DEEPMARK, DFA, PCLOSS, GLE, OURS = "A&F", "DeepMark++", "DFA", "PCLoss", "GLE", "beyond"
Variant = Literal["universal", "finetuned", "refined"]
PLAIN = {
    "aggregate": {"grouping": "none"},
    "train_landmarker": {
        "flip": 0.0,
        "rotation": 0.0,
        "decode": "argmax",
        "flip_test": False,
        "balanced_sampling": False,
        "channel_mask": False,
        "position_constraint": 0.0,
        "pseudo_label_weight": 0.0,
        "decode_prior": False,
    },
    "refine": {"decode_prior": False},
}


@dataclass(frozen=True)
class Technique:
    """What a row changes of the baseline.

    Attributes:
        paper: where it comes from.
        grouping: of the landmarks.
        training: keys of ``train_landmarker`` that differ.
        decoding: values of ``DecodeConfig`` that differ, of a network trained like the baseline.
        score: channels whose peaks make a garment's score.
        variant: whose landmarks are evaluated.
        prior: whether landmarks are corrected by the shape prior.
    """

    paper: str
    grouping: str = "none"
    training: Mapping[str, Any] = field(default_factory=dict)
    decoding: Mapping[str, Any] = field(default_factory=dict)
    score: Literal["all", "own"] = "all"
    variant: Variant = "universal"
    prior: bool = False

    def params(self, params: Params, seed: int) -> Params:
        """The parameters that the row's networks are trained with."""
        plain = runs.with_changes(params, seed=seed, **PLAIN)
        return runs.with_changes(
            plain,
            aggregate={"grouping": self.grouping},
            train_landmarker={**self.training, "decode_prior": self.prior},
            refine={"decode_prior": self.prior},
        )


TECHNIQUES: dict[str, Technique] = {
    BASE: Technique(""),
    "81 channels": Technique(AGG, grouping="agg81"),
    "flip in training": Technique(AGG, training={"flip": 0.5}),
    "flip at test": Technique(AGG, decoding={"flip_test": True}),
    "finetuned by category": Technique(AGG, variant="finetuned"),
    "score of own channels": Technique(AGG, score="own"),
    "channel mask at test": Technique(AGG, decoding={"channel_mask": True}),
    "balanced sampling": Technique(AGG, training={"balanced_sampling": True}),
    "62 groups": Technique(DEEPMARK, grouping="semantic62"),
    "finetuned + PoseFix": Technique(DEEPMARK, variant="refined"),
    "pseudo-labels": Technique(DFA, training={"pseudo_label_weight": 0.1}),
    "position constraint": Technique(PCLOSS, training={"position_constraint": 1.0}),
    "DARK decoding": Technique(OURS, decoding={"decode": "dark"}),
    "UDP cells and decoding": Technique(OURS, training={"decode": "udp"}),
    "mean of the map": Technique(OURS, decoding={"decode": "integral"}),
    "shape prior": Technique(OURS, prior=True),
    "rotation": Technique(OURS, training={"rotation": 15.0}),
    "squared error": Technique(OURS, training={"loss": "mse"}),
    "SimCC head": Technique(OURS, training={"head": "simcc"}),
    "RLE head": Technique(OURS, training={"head": "rle"}),
    "ViT backbone": Technique(OURS, training={"backbone": "vit_w192_small", "lr": 0.001}),
    ALL: Technique(
        AGG,
        grouping="agg81",
        training={"flip": 0.5, "rotation": 15.0, "pseudo_label_weight": 0.1},
        decoding={"flip_test": True, "decode": "dark"},
        score="own",
        variant="refined",
        prior=True,
    ),
}
