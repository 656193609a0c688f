"""Train a refiner: augmentation on the device, a wrong pose as input, the true pose as target."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fashion_ops.methods.parts.augment import Warp, normalize, warp_batch
from fashion_ops.methods.parts.heatmaps import STRIDE, Crop, to_cells
from fashion_ops.methods.parts.training_module import TrainingModule
from fashion_ops.methods.posefix.data import StackedPoses, stacked_mirror
from fashion_ops.methods.posefix.errors import (
    landmark_groups,
    synthesize_errors,
    type_probabilities,
)
from fashion_ops.methods.posefix.loss import coarse_to_fine
from fashion_ops.params import TrainingConfig
from fashion_ops.taxonomy import Category


@dataclass(frozen=True)
class RefinerSettings:
    """How a refiner is trained, besides the optimisation itself.

    Attributes:
        crop: (width, height) in pixels.
        warp: augmentation.
        predicted_share: share of input poses that are predictions of the landmarker; the others are the
            truth with synthetic errors. A garment without a prediction always gets these.
        rates: probabilities of the types of errors for each landmark, see ``error_rates``; None takes
            the published ones.
        takes_pose: False trains the control of an experiment, a network that sees no pose.
    """

    crop: Crop
    warp: Warp
    predicted_share: float
    rates: Float[Tensor, "n 5"] | None = None
    takes_pose: bool = True


class RefinerModule(TrainingModule):
    """Trains a refiner on batches of ``Regions`` with stacked poses (see ``data``).

    Args:
        model: the network.
        config: the optimisation.
        settings: augmentation and input poses.
        category: whose landmarks it refines.
        seed: of order, augmentation and synthetic errors.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainingConfig,
        settings: RefinerSettings,
        category: Category,
        seed: int,
    ) -> None:
        super().__init__(config, seed)
        self.model = model
        self.settings = settings
        self.n = category.num_landmarks
        mirror = category.mirror()
        self.register_buffer("mirror", torch.from_numpy(mirror), persistent=False)
        self.register_buffer("stacked_mirror", stacked_mirror(mirror), persistent=False)
        sigmas = torch.from_numpy(category.sigmas).float()
        self.register_buffer("sigmas", sigmas, persistent=False)
        groups = torch.tensor(landmark_groups(category))
        self.register_buffer("groups", groups, persistent=False)
        self.register_buffer("rates", settings.rates, persistent=False)

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Compute ``cross_entropy``, ``cells`` (distance of the soft-argmax) and their sum ``loss``.

        Args:
            batch: of ``Regions`` with stacked poses.
            generator: draws augmentation and synthetic errors.
        """
        s = self.settings
        mirror = self.get_buffer("stacked_mirror")
        crops, stacked = warp_batch(
            batch["region"], batch["landmarks"], s.crop, mirror, s.warp, generator
        )
        before = StackedPoses.split(batch["landmarks"], self.n)
        poses = StackedPoses.split(stacked, self.n)
        points, known = self.input_pose(poses, box_area(before, poses), generator)
        crops = normalize(crops).contiguous(memory_format=torch.channels_last)
        logits = self.model(crops, points, known)
        weight = (poses.truth[..., 2] > 0).float()
        coarse, fine = coarse_to_fine(logits, to_cells(poses.truth[..., :2], STRIDE), weight)
        return {"loss": coarse + fine, "cross_entropy": coarse, "cells": fine}

    def input_pose(
        self, poses: StackedPoses, area: Float[Tensor, " b"], generator: torch.Generator
    ) -> tuple[Float[Tensor, "b n 2"], Bool[Tensor, "b n"]]:
        """Draw the poses that the network is given as input.

        With probability ``predicted_share`` the pose of a garment is the landmarker's prediction,
        otherwise the truth with synthetic errors. There the prediction replaces unlabelled landmarks.

        Args:
            poses: in crop pixels.
            area: of each garment's box, square crop pixels.
            generator: source of randomness.

        Returns:
            x, y in crop pixels, and which landmarks of a pose are known.
        """
        labelled, visible = poses.truth[..., 2] > 0, poses.predicted[..., 2] > 0
        if not self.settings.takes_pose:
            return poses.truth[..., :2], torch.zeros_like(labelled)
        base = torch.where(labelled[..., None], poses.truth[..., :2], poses.predicted[..., :2])
        errors = synthesize_errors(
            base,
            labelled,
            poses.neighbour,
            area,
            self.get_buffer("sigmas"),
            self.get_buffer("mirror"),
            self._type_probabilities(labelled, poses.neighbour),
            generator,
        )
        chance = torch.rand(len(base), 1, generator=generator, device=base.device)
        predicted = (chance < self.settings.predicted_share) & visible.any(1, keepdim=True)
        points = torch.where(predicted[..., None], poses.predicted[..., :2], errors.points)
        known = torch.where(predicted, visible, errors.known & (labelled | visible))
        return points, known

    def _type_probabilities(
        self, labelled: Bool[Tensor, "b n"], neighbour: Float[Tensor, "b n 3"]
    ) -> Float[Tensor, "b n 5"]:
        """The probabilities of the types of errors, measured or published."""
        if self.rates is not None:
            return self.get_buffer("rates").expand(len(labelled), -1, -1)
        crowded = (neighbour[..., 2] > 0).any(1)
        return type_probabilities(labelled, crowded, self.get_buffer("groups"))


def box_area(before: StackedPoses, after: StackedPoses) -> Float[Tensor, " b"]:
    """Compute the area of the boxes after augmentation, in square crop pixels.

    Args:
        before: the batch before augmentation, in region pixels.
        after: the same after it, in crop pixels; its corners give the zoom.
    """
    diagonal = before.corners[:, 1, :2] - before.corners[:, 0, :2]
    moved = after.corners[:, 1, :2] - after.corners[:, 0, :2]
    zoom_squared = (moved**2).sum(-1) / (diagonal**2).sum(-1).clamp_min(1e-9)
    return diagonal.abs().prod(-1) * zoom_squared
