"""A trained detector folder as an object: images in, garments with boxes and landmarks out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fashion_ops.methods.artifact import load_model
from fashion_ops.methods.centernet.backbones.by_name import find_backbone
from fashion_ops.methods.centernet.data import fit_matrix
from fashion_ops.methods.centernet.decode import Decoded, Maps, decode, grouping_slots
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.centernet.nms import suppress
from fashion_ops.methods.centernet.test_time_augmentation import canvas_size, merge_flipped
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.crops import cut, invert_matrices
from fashion_ops.methods.parts.trainer import autocast
from fashion_ops.params import PostProcess
from fashion_ops.taxonomy import Grouping, category, load_grouping

METHOD = "centernet"
BATCH = 32

# Fitted images uint8 (B, 3, side, side) to six maps fp32, heatmaps after the sigmoid.
Network = Callable[[Tensor], Maps]


@dataclass(frozen=True)
class Detection:
    """One garment; image pixels.

    ``box``: float32 (4,) x1, y1, x2, y2 within the image. ``landmarks``: float32 (n, 3) x, y, score,
    in the order of the category's landmarks.
    """

    box: np.ndarray
    score: float
    category_id: int
    landmarks: np.ndarray


def build(spec: dict[str, Any]) -> CenterNet:
    """The untrained network that a ``model.json`` describes."""
    groups = load_grouping(spec["grouping"]).num_groups
    return CenterNet(spec["backbone"], groups, spec["neck_width"], spec["head_width"])


@dataclass(frozen=True)
class TorchNetwork:
    """A trained network as a ``Network``."""

    model: CenterNet
    precision: str
    device: torch.device

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Maps:
        pixels = normalize(images.to(self.device).float() / 255)
        with autocast(self.precision, self.device):
            maps = self.model(pixels.contiguous(memory_format=torch.channels_last))
        return {k: v.float().sigmoid() if k.startswith("hm") else v.float() for k, v in maps.items()}


@dataclass(frozen=True)
class Detector:
    """A detector ready to predict: a network, what its folder says of it, and the post-processing."""

    network: Network
    spec: dict[str, Any]
    post: PostProcess

    @classmethod
    def load(
        cls, folder: Path, device: str | torch.device = "cpu", post: PostProcess | None = None
    ) -> "Detector":
        """Read a model folder.

        Args:
            folder: what ``train_detector`` wrote.
            device: where the network runs.
            post: how its maps are read; None takes DeepMark++'s values.

        Raises:
            FileNotFoundError: no model there.
            ValueError: a model of another method.
        """
        model, spec = load_model(folder, METHOD, build, device)
        network = TorchNetwork(model, spec["precision"], torch.device(device))
        return cls(network, spec, post or PostProcess())

    @property
    def grouping(self) -> Grouping:
        return load_grouping(self.spec["grouping"])

    def with_post(self, post: PostProcess) -> "Detector":
        """The same network, read in another way."""
        return replace(self, post=post)

    def for_boxes(self) -> "Detector":
        """To be followed by a landmarker, whose scores come on top: without those of its own (1)."""
        return self.with_post(self.post.model_copy(update={"rescore": False}))

    def fit(self, images: list[np.ndarray], scale: float = 1.0) -> tuple[Tensor, np.ndarray]:
        """Images fitted into the input, uint8 (B, 3, side, side), and their matrices (B, 2, 3).

        Args:
            images: RGB uint8 (H, W, 3), any sizes.
            scale: of the image; the input grows or shrinks along with it.
        """
        size = self.spec["input_size"] * scale
        multiple = find_backbone(self.spec["backbone"]).multiple
        side = canvas_size(self.spec["input_size"], scale, multiple)
        matrices = np.stack([fit_matrix(i.shape[1], i.shape[0], side, side / size) for i in images])
        fitted = [cut(image, m, (side, side)) for image, m in zip(images, matrices, strict=True)]
        return torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2), matrices

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Six maps of fitted images, fused with those of the mirrored ones if ``post.flip``."""
        maps = self.network(images)
        if not self.post.flip:
            return maps
        mirror = torch.from_numpy(self.grouping.mirror()).to(maps["hm"].device)
        return merge_flipped(maps, self.network(images.flip(-1)), mirror)

    def decode(self, maps: dict[str, Tensor], min_score: float) -> Decoded:
        """Garments in the maps, in input pixels, doubles and all."""
        slots = grouping_slots(self.grouping).to(maps["hm"].device)
        return decode(maps, slots, self.post, min_score)

    def detect(
        self, images: list[np.ndarray], score_threshold: float | None = None
    ) -> list[list[Detection]]:
        """Garments of each image, best first.

        Args:
            images: RGB uint8 (H, W, 3), any sizes.
            score_threshold: garments below are left out; None takes the model's own.
        """
        threshold = self.spec["score_threshold"] if score_threshold is None else score_threshold
        out: list[list[Detection]] = []
        for i in range(0, len(images), BATCH):
            batch = images[i : i + BATCH]
            looks = [self._look(batch, threshold, scale) for scale in (1.0, *self.post.scales)]
            out += [
                self._finish(image, [look[n] for look in looks], threshold)
                for n, image in enumerate(batch)
            ]
        return out

    @torch.inference_mode()
    def _look(
        self, images: list[np.ndarray], threshold: float, scale: float
    ) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Boxes, scores, category and landmarks of each image at one scale; image pixels."""
        inputs, matrices = self.fit(images, scale)
        found = self.decode(self.maps(inputs), threshold)
        return [
            (
                *_to_image(found.boxes[n], found.landmarks[n], inverse),
                found.scores[n],
                found.category[n],
            )
            for n, inverse in enumerate(invert_matrices(matrices))
        ]

    def _finish(
        self, image: np.ndarray, looks: list[tuple[Tensor, ...]], threshold: float
    ) -> list[Detection]:
        """Fuse the scales of one image, suppress doubles, keep what scores enough."""
        boxes, landmarks, scores, categories = (torch.cat(x) for x in zip(*looks, strict=True))
        kept, final = suppress(boxes, scores, categories, self.post)
        sure = final >= threshold
        kept, final = kept[sure], final[sure]
        limit = boxes.new_tensor([image.shape[1] - 1, image.shape[0] - 1] * 2)
        ends = torch.minimum(boxes[kept].clamp_min(0), limit).cpu().numpy()
        return [
            Detection(box, float(score), int(c), points[: category(int(c)).num_landmarks])
            for box, score, c, points in zip(
                ends,
                final.tolist(),
                categories[kept].tolist(),
                landmarks[kept].cpu().numpy(),
                strict=True,
            )
        ]


def _to_image(boxes: Tensor, landmarks: Tensor, inverse: np.ndarray) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) and landmarks (N, M, 3) from input to image pixels."""
    linear, shift = boxes.new_tensor(inverse[:, :2]), boxes.new_tensor(inverse[:, 2])
    ends = boxes.view(-1, 2, 2) @ linear.T + shift
    points = landmarks[..., :2] @ linear.T + shift
    return ends.view(-1, 4), torch.cat([points, landmarks[..., 2:]], -1)
