"""Training of one network of the cascade: augmentation, pseudo-labels and the three losses."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fashion_ops.methods.alignment.crops import from_pixels
from fashion_ops.methods.alignment.dfa.loss import (
    label_loss,
    position_loss,
    states,
    visibility_loss,
)
from fashion_ops.methods.alignment.dfa.model import OFFSET_SCALE, StageNet
from fashion_ops.methods.alignment.dfa.soft_labels import SoftLabels
from fashion_ops.methods.alignment.dfa.targets import PseudoLabels
from fashion_ops.methods.parts.augment import Warp, normalize, warp_batch
from fashion_ops.methods.parts.position_constraint import constraint_of
from fashion_ops.methods.parts.schedule import auxiliary_weight, learning_rates
from fashion_ops.methods.parts.training_module import TrainingModule
from fashion_ops.params import DfaStage

MOMENTUM = 0.9
MOVED_OUT = -1.0  # visibility of a landmark that augmentation moved out of the crop


class AlignmentModule(TrainingModule):
    """Base of the modules that train on batches of ``AlignmentSamples``.

    Args:
        config: optimisation and augmentation.
        mirror: permutation (n,) of the landmarks under a horizontal flip.
        seed: of augmentation and order.
        previous: whether the samples hold previous positions.
        marker: whether the samples end with a marker, see ``AlignmentSamples``.
    """

    config: DfaStage

    def __init__(
        self,
        config: DfaStage,
        mirror: np.ndarray,
        seed: int,
        *,
        previous: bool,
        marker: bool = False,
    ) -> None:
        super().__init__(config, seed)
        if previous:
            mirror = np.concatenate([mirror, mirror + len(mirror)])
        if marker:
            mirror = np.append(mirror, len(mirror))
        self.warp = Warp(flip=config.flip, scale=config.scale, shift=config.shift, color=config.color)
        self.register_buffer("mirror", torch.from_numpy(mirror), persistent=False)

    def augment(
        self, batch: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Float[Tensor, "b 3 s s"], Float[Tensor, "b m 2"], Float[Tensor, "b m"]]:
        """Warp a batch of ``AlignmentSamples`` at random.

        Returns:
            Normalised pixels; normalised positions and visibility of its m points, which are the true
            landmarks, then the previous positions if the samples hold any. Visibility is COCO's, or
            ``MOVED_OUT`` where the warp moved a landmark out of the crop: it is not cut off in the
            photo, and must not be learnt as such.
        """
        size = self.config.input_size
        landmarks = batch["landmarks"].clone()
        landmarks[..., 2] -= MOVED_OUT  # so that only what is moved out becomes 0
        pixels, points = warp_batch(
            batch["region"],
            landmarks,
            (size, size),
            self.get_buffer("mirror"),
            self.warp,
            generator,
        )
        pixels = normalize(pixels).contiguous(memory_format=torch.channels_last)
        return pixels, from_pixels(points[..., :2], size), points[..., 2] + MOVED_OUT

    @property
    def share(self) -> float:
        """How much of the auxiliary losses' gradient reaches the backbone now (eq. 4), 0..1."""
        config = self.config
        now = self.global_step if config.decay_unit == "iterations" else self.progress
        return auxiliary_weight(now, 1.0, config.decay, config.schedule == "as_printed")


class StageModule(AlignmentModule):
    """A ``StageNet`` on batches of ``AlignmentSamples``.

    Args:
        model: the network.
        config: optimisation, augmentation and weights of the losses.
        labels: its pseudo-labels; None for a network without them.
        mirror: permutation (n,) of the landmarks under a horizontal flip.
        seed: of augmentation and order.
        input_labels: the previous stage's pseudo-labels; needed if the network takes them as input.
    """

    def __init__(
        self,
        model: StageNet,
        config: DfaStage,
        labels: PseudoLabels | None,
        mirror: np.ndarray,
        seed: int,
        input_labels: PseudoLabels | None = None,
    ) -> None:
        takes_labels = model.label_inputs > 0
        super().__init__(config, mirror, seed, previous=model.cascade, marker=takes_labels)
        self.model = model
        self.labels = None if labels is None else SoftLabels(labels)
        if takes_labels:
            assert input_labels is not None, "the network takes pseudo-labels as input"
            mirrored = torch.from_numpy(input_labels.mirrored(mirror))
            self.register_buffer("mirrored_labels", mirrored, persistent=False)
        self.constraint = constraint_of(
            config.position_constraint,
            config.position_constraint_k,
            config.position_constraint_parts,
            mirror,
        )

    def networks(self) -> list[nn.Module]:
        """The backbone; what follows is small and computes in fp32."""
        assert isinstance(self.model, StageNet)
        return [self.model.trunk]

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Compute, by name, the losses of eq. 3 and the position constraint whose weight is not 0.

        ``loss`` is their weighted sum. ``generator`` draws the augmentation.

        The gradient of visibility and pseudo-labels into the backbone falls to 0 (eq. 4). Their heads
        go on learning, because stage 3 is routed by the pseudo-labels of stage 2.
        """
        config, model = self.config, self.model
        assert isinstance(model, StageNet)
        pixels, positions, visibility = self.augment(batch, generator)
        n = model.landmarks
        true, previous = positions[:, :n], positions[:, n : 2 * n] if model.cascade else None
        visibility = visibility[:, :n]
        observed, slots = visibility > 0, batch["slots"] & (visibility > MOVED_OUT)
        labels = self._input_labels(batch, positions) if model.label_inputs else None
        torch.manual_seed(generator.initial_seed())  # dropout draws from the global generators
        out = model(pixels, previous, self.share, labels)
        # A cascade predicts ``OFFSET_SCALE`` times the offset, and its loss stands on what it predicts.
        # Visibility and the position constraint grow alike, or nothing but positions would be learnt.
        scale = OFFSET_SCALE if model.cascade else 1.0
        alike = scale**2
        loss = position = position_loss(scale * out.positions, scale * true, observed)
        logged = {"position": position}
        if self.constraint is not None:
            logged["position_constraint"] = self.constraint.of_points(out.positions, true, observed)
            loss = loss + alike * self.constraint.weight * logged["position_constraint"]
        if config.visibility_weight:
            logged["visibility"] = visibility_loss(out.visibility, states(visibility), slots)
            loss = loss + alike * config.visibility_weight * logged["visibility"]
        if self.labels is not None and config.label_weight:
            logged["label"] = label_loss(out.labels, self._soft(true, previous, observed))
            loss = loss + config.label_weight * logged["label"]
        return {"loss": loss, **logged}

    def _input_labels(
        self, batch: dict[str, Tensor], positions: Float[Tensor, "b m 2"]
    ) -> Float[Tensor, "b k"]:
        """Return the previous stage's pseudo-labels; those of the mirrored garment where flipped.

        A flip exchanges the marker, the last point of ``positions``, from the right to the left.
        """
        labels = batch["labels"]
        mirrored = labels @ self.get_buffer("mirrored_labels").to(labels)
        return torch.where(positions[:, -1:, 0] < 0, mirrored, labels)

    @torch.no_grad()
    def _soft(
        self,
        true: Float[Tensor, "b n 2"],
        previous: Float[Tensor, "b n 2"] | None,
        observed: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b k"]:
        """Compute the pseudo-labels of warped crops, as a mirrored garment belongs to another cluster.

        Positions are normalised; ``previous`` is None in stage 1.
        """
        assert self.labels is not None
        return self.labels(true, previous, observed)

    def configure_optimizers(self) -> Any:
        """Make AdamW as for all methods, or the paper's SGD with momentum, and the schedule."""
        if self.config.optimizer == "adamw":
            return super().configure_optimizers()
        optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=self.config.lr,
            momentum=MOMENTUM,
            weight_decay=self.config.weight_decay,
            fused=self.device.type == "cuda",  # does not read the scaler of fp16 on the host
        )
        schedule = learning_rates(optimizer, self.config, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
