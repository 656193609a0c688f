"""Which landmarks a garment shows, predicted from the features of its box.

Whether a landmark has features, and whether they are zeros, must not come from the annotated clothing
type: zeros in the places of sleeves say "lower body", which is half of an attribute.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from torch import nn

from papers.applications.features import Scale
from papers.applications.perceptron import predict_scores, train_classifier


@dataclass(frozen=True)
class Presence:
    """Predicts which landmarks lie in the photo, visible or occluded.

    Attributes:
        net: maps scaled features of a box to a logit for each landmark.
        scale: of the features.
    """

    net: nn.Module
    scale: Scale

    @classmethod
    def train(
        cls, features: Float[np.ndarray, "n f"], observed: Bool[np.ndarray, "n k"], seed: int
    ) -> "Presence":
        """Learn from training garments the k landmarks that are ``observed``."""
        scale = Scale.of(features)
        labels = np.where(observed, 1, -1).astype(np.int8)
        return cls(train_classifier(scale(features), labels, seed), scale)

    def predict(self, features: Float[np.ndarray, "n f"]) -> Bool[np.ndarray, "n k"]:
        """Whether each landmark is more likely in the photo than not."""
        return predict_scores(self.net, self.scale(features)) > 0
