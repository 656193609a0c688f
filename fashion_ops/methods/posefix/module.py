"""Training a refiner: augment on the device, give it a wrong pose, ask for the right one."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fashion_ops.methods.parts.augment import Warp, normalize, warp_batch
from fashion_ops.methods.parts.heatmaps import to_cells
from fashion_ops.methods.parts.trainer import TrainingModule
from fashion_ops.methods.posefix.data import Points, stacked_mirror
from fashion_ops.methods.posefix.errors import landmark_groups, synthesize_errors
from fashion_ops.methods.posefix.loss import coarse_to_fine
from fashion_ops.methods.posefix.model import STRIDE
from fashion_ops.params import TrainingConfig
from fashion_ops.taxonomy import Category


@dataclass(frozen=True)
class RefinerSettings:
    """How a refiner is trained, besides the optimisation itself.

    ``own_outputs``: the share of input poses that are the landmarker's own; the others are the truth
    with synthetic errors.
    """

    crop: tuple[int, int]
    warp: Warp
    own_outputs: float


class RefinerModule(TrainingModule):
    """A refiner on ``Regions`` of stacked points (see ``data``)."""

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

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Cross entropy (coarse) and soft-argmax distance in cells (fine)."""
        s = self.settings
        crops, stacked = warp_batch(
            batch["region"],
            batch["landmarks"],
            s.crop,
            self.get_buffer("stacked_mirror"),
            s.warp,
            generator,
        )
        before, points = Points.of(batch["landmarks"], self.n), Points.of(stacked, self.n)
        pose, known = self.input_pose(points, box_area(before, points), generator)
        crops = normalize(crops).contiguous(memory_format=torch.channels_last)
        logits = self.model(crops, pose, known)
        weight = (points.truth[..., 2] > 0).float()
        coarse, fine = coarse_to_fine(logits, to_cells(points.truth[..., :2], STRIDE), weight)
        return {"loss": coarse + fine, "cross_entropy": coarse, "cells": fine}

    def input_pose(
        self, points: Points, area: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The pose (B, n, 2) that the network is given, and which of its landmarks are known (B, n).

        A garment's pose is the landmarker's, or the truth with synthetic errors; there a landmark
        without a label stands where the landmarker sees it.
        """
        labelled, seen = points.truth[..., 2] > 0, points.own[..., 2] > 0
        base = torch.where(labelled[..., None], points.truth[..., :2], points.own[..., :2])
        errors = synthesize_errors(
            base,
            labelled,
            points.neighbour,
            area,
            self.get_buffer("sigmas"),
            self.get_buffer("mirror"),
            self.get_buffer("groups"),
            generator,
        )
        chance = torch.rand(len(base), 1, generator=generator, device=base.device)
        own = chance < self.settings.own_outputs
        pose = torch.where(own[..., None], points.own[..., :2], errors.points)
        known = torch.where(own, seen, errors.known & (labelled | seen))
        return pose, known


def box_area(before: Points, after: Points) -> Tensor:
    """Area (B,) of the boxes after augmentation, from their corners before and after it."""
    diagonal = before.corners[:, 1, :2] - before.corners[:, 0, :2]
    moved = after.corners[:, 1, :2] - after.corners[:, 0, :2]
    zoom_squared = (moved**2).sum(-1) / (diagonal**2).sum(-1).clamp_min(1e-9)
    return diagonal.abs().prod(-1) * zoom_squared
