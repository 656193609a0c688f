"""A trained detector ready to predict: images in, garments with boxes and landmarks out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fashion_ops.methods.artifact import load_model
from fashion_ops.methods.centernet.backbones.by_name import find_backbone
from fashion_ops.methods.centernet.data import letterbox_matrix
from fashion_ops.methods.centernet.decode import Decoded, decode, grouping_slots
from fashion_ops.methods.centernet.landmarks import Maps
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.centernet.nms import nms
from fashion_ops.methods.centernet.test_time_augmentation import canvas_size, merge_flipped
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.crops import cut, invert_matrices
from fashion_ops.methods.parts.precision import autocast
from fashion_ops.params import PostProcess
from fashion_ops.taxonomy import Grouping, category, load_grouping

METHOD = "centernet"
BATCH = 32

# From letterboxed images uint8 (B, 3, side, side) to six maps in fp32, heatmaps after the sigmoid; an
# exported network that decodes gives garments instead.
Network = Callable[[Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class Detection:
    """One garment in an image.

    Attributes:
        box: float32 (4,) x1, y1, x2, y2 in image pixels, within the image.
        score: 0..1.
        category_id: 1..13.
        landmarks: float32 (n, 3) x, y in image pixels and score, in the category's order.
    """

    box: np.ndarray
    score: float
    category_id: int
    landmarks: np.ndarray


def build(spec: dict[str, Any]) -> CenterNet:
    """Build the untrained network that a ``model.json`` describes."""
    groups = load_grouping(spec["grouping"]).num_groups
    return CenterNet(spec["backbone"], groups, spec["neck_width"], spec["head_width"])


@dataclass(frozen=True)
class TorchNetwork:
    """A trained network in torch, as a ``Network``."""

    model: CenterNet
    precision: str
    device: torch.device

    @torch.inference_mode()
    def __call__(self, images: UInt8[Tensor, "b 3 s s"]) -> Maps:
        pixels = normalize(images.to(self.device).float() / 255)
        with autocast(self.precision, self.device):
            maps = self.model(pixels.contiguous(memory_format=torch.channels_last))
        return {k: v.float().sigmoid() if k.startswith("hm") else v.float() for k, v in maps.items()}


@dataclass(frozen=True)
class Detector:
    """A detector ready to predict.

    Attributes:
        network: from letterboxed images to maps.
        spec: the ``model.json``.
        post: the post-processing.
    """

    network: Network
    spec: dict[str, Any]
    post: PostProcess

    @classmethod
    def load(cls, folder: Path, device: torch.device, post: PostProcess | None = None) -> "Detector":
        """Read a model folder.

        Args:
            folder: written by ``train_detector``.
            device: where the network runs.
            post: the post-processing; None uses DeepMark++'s values.

        Raises:
            FileNotFoundError: ``folder`` holds no model.
            ValueError: it holds a model of another method.
        """
        model, spec = load_model(folder, METHOD, build, device)
        network = TorchNetwork(model, spec["precision"], device)
        return cls(network, spec, post or PostProcess())

    @property
    def grouping(self) -> Grouping:
        """The grouping of the landmark heatmaps."""
        return load_grouping(self.spec["grouping"])

    def with_post(self, post: PostProcess) -> "Detector":
        """Return the same detector with other post-processing."""
        return replace(self, post=post)

    def without_landmark_scores(self) -> "Detector":
        """Return the same detector with scores of the centres only (technique 1 switched off).

        A landmarker that follows the detector multiplies its own landmark scores in.
        """
        return self.with_post(self.post.model_copy(update={"rescore": False}))

    def letterbox(
        self, images: list[np.ndarray], scale: float = 1.0
    ) -> tuple[UInt8[Tensor, "b 3 side side"], np.ndarray]:
        """Letterbox images into the network's square input.

        Args:
            images: B images, RGB uint8 (H, W, 3), any sizes.
            scale: factor on the side of the input, and so on the images in it.

        Returns:
            The inputs, and the affine matrices (B, 2, 3) from image to input pixels.
        """
        size = self.spec["input_size"] * scale
        multiple = find_backbone(self.spec["backbone"]).multiple
        side = canvas_size(self.spec["input_size"], scale, multiple)
        matrices = np.stack(
            [letterbox_matrix(i.shape[1], i.shape[0], side, side / size) for i in images]
        )
        inputs = [cut(image, m, (side, side)) for image, m in zip(images, matrices, strict=True)]
        return torch.from_numpy(np.stack(inputs)).permute(0, 3, 1, 2), matrices

    def maps(self, images: UInt8[Tensor, "b 3 s s"]) -> dict[str, Tensor]:
        """Compute the six maps of letterboxed images, heatmaps after the sigmoid.

        With ``post.flip`` they are averaged with the maps of the mirrored images.
        """
        maps = self.network(images)
        if not self.post.flip:
            return maps
        mirror = torch.from_numpy(self.grouping.mirror()).to(maps["hm"].device)
        return merge_flipped(maps, self.network(images.flip(-1)), mirror)

    def decode(self, maps: dict[str, Tensor], min_score: float) -> Decoded:
        """Decode what the method ``maps`` returned into garments in input pixels, before NMS.

        Centres with a score below ``min_score`` are not decoded.
        """
        slots = grouping_slots(self.grouping).to(maps["hm"].device)
        return decode(maps, slots, self.post, min_score)

    def detect(
        self, images: list[np.ndarray], score_threshold: float | None = None
    ) -> list[list[Detection]]:
        """Detect the garments of each image, best first.

        Args:
            images: RGB uint8 (H, W, 3), any sizes.
            score_threshold: garments with a lower score are left out; None uses the threshold in
                ``model.json``.
        """
        threshold = self.spec["score_threshold"] if score_threshold is None else score_threshold
        detections: list[list[Detection]] = []
        for i in range(0, len(images), BATCH):
            batch = images[i : i + BATCH]
            scales = [self._detect_at(batch, threshold, s) for s in (1.0, *self.post.scales)]
            detections += [
                self._merge_scales(image, [scale[n] for scale in scales], threshold)
                for n, image in enumerate(batch)
            ]
        return detections

    @torch.inference_mode()
    def _detect_at(
        self, images: list[np.ndarray], threshold: float, scale: float
    ) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Detect at one scale, before NMS: for each image boxes, landmarks, scores and categories.

        Boxes and landmarks are in image pixels; all are on the CPU.
        """
        inputs, matrices = self.letterbox(images, scale)
        decoded = self.decode(self.maps(inputs), threshold).cpu()  # what follows is small and serial
        return [
            (
                *_to_image(decoded.boxes[n], decoded.landmarks[n], inverse),
                decoded.scores[n],
                decoded.category[n],
            )
            for n, inverse in enumerate(invert_matrices(matrices))
        ]

    def _merge_scales(
        self, image: np.ndarray, scales: list[tuple[Tensor, ...]], threshold: float
    ) -> list[Detection]:
        """Join the detections in one image at all scales by NMS and apply the threshold."""
        boxes, landmarks, scores, categories = (torch.cat(x) for x in zip(*scales, strict=True))
        kept, final = nms(boxes, scores, categories, self.post)
        confident = final >= threshold
        kept, final = kept[confident], final[confident]
        limit = boxes.new_tensor([image.shape[1] - 1, image.shape[0] - 1] * 2)
        clipped = torch.minimum(boxes[kept].clamp_min(0), limit).numpy()
        return [
            Detection(box, float(score), int(c), points[: category(int(c)).num_landmarks])
            for box, score, c, points in zip(
                clipped,
                final.tolist(),
                categories[kept].tolist(),
                landmarks[kept].numpy(),
                strict=True,
            )
        ]


def _to_image(
    boxes: Float[Tensor, "n 4"], landmarks: Float[Tensor, "n m 3"], inverse: np.ndarray
) -> tuple[Float[Tensor, "n 4"], Float[Tensor, "n m 3"]]:
    """Move boxes and landmarks from input to image pixels by the affine matrix (2, 3)."""
    linear, shift = boxes.new_tensor(inverse[:, :2]), boxes.new_tensor(inverse[:, 2])
    corners = boxes.view(-1, 2, 2) @ linear.T + shift
    points = landmarks[..., :2] @ linear.T + shift
    return corners.view(-1, 4), torch.cat([points, landmarks[..., 2:]], -1)
