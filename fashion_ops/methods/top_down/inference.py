"""A trained landmarker as an object: boxes in, landmarks of each category out."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from fashion_ops.methods.artifact import load_model
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.crops import crop_matrices, cut_crops, invert_matrices, to_image
from fashion_ops.methods.parts.heatmaps import STRIDE
from fashion_ops.methods.parts.precision import autocast
from fashion_ops.methods.parts.shape_prior import (
    ShapePrior,
    distance_stds,
    load_priors,
    peak_stds,
)
from fashion_ops.methods.top_down.decode import (
    DecodeConfig,
    decode,
    decode_classes,
    decode_normals,
    predict_classes,
    predict_heatmaps,
    predict_normals,
)
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.taxonomy import Grouping, load_grouping

METHOD = "top_down"
BATCH = 64


def build(spec: dict[str, Any]) -> Landmarker:
    """Build the untrained network that a ``model.json`` describes."""
    groups = load_grouping(spec["grouping"]).num_groups
    width, height = spec["crop"]
    head = spec.get("head", "heatmap")
    return Landmarker(spec["backbone"], groups, spec["clusters"], head=head, crop=(width, height))


@dataclass
class LandmarkPredictor:
    """A landmarker ready to predict.

    Attributes:
        model: a ``Landmarker`` or a network of the same signature.
        spec: its ``model.json``.
        device: where the network is.
        priors: shape priors that the model was trained with, by category id. ``LandmarkPipeline``
            applies them; the methods here return what the network says.
    """

    model: nn.Module
    spec: dict[str, Any]
    device: torch.device
    priors: Mapping[int, ShapePrior] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "LandmarkPredictor":
        """Load a folder written by ``train_landmarker``; the network runs on ``device``.

        Raises:
            FileNotFoundError: there is no model.
            ValueError: the model is of another method.
        """
        model, spec = load_model(folder, METHOD, build, device)
        return cls(model, spec, device, load_priors(folder) if spec.get("decode_prior") else {})

    @property
    def grouping(self) -> Grouping:
        """The grouping of the landmarks, which says what each output channel stands for."""
        return load_grouping(self.spec["grouping"])

    @property
    def decoding(self) -> DecodeConfig:
        """How landmarks are decoded from the output of the head."""
        return DecodeConfig.from_spec(self.spec)

    def with_decoding(self, **changes: Any) -> "LandmarkPredictor":
        """Return the same model with other values of ``DecodeConfig``, given by name.

        Raises:
            ValueError: the new values place the cells elsewhere than in training, or need shape priors
                that the model lacks.
        """
        before, after = self.decoding, replace(self.decoding, **changes)
        if after.decode_prior and not self.priors:
            raise ValueError("decode_prior: this model has no shape priors; train it with decode_prior")
        if after.cells != before.cells:
            raise ValueError(
                f"decode {after.decode!r} with flip_shift {after.flip_shift} reads cells at their "
                f"{after.cells}, the model was trained with cells at their {before.cells}; "
                "train it with these settings"
            )
        return replace(self, spec={**self.spec, **asdict(after)})

    @property
    def used_priors(self) -> Mapping[int, ShapePrior]:
        """The priors that correct the landmarks of a pipeline; none where ``decode_prior`` is off."""
        return self.priors if self.decoding.decode_prior else {}

    @property
    def crop(self) -> tuple[int, int]:
        """Crop (width, height) in pixels."""
        width, height = self.spec["crop"]
        return width, height

    def landmark_stds(self, pose: np.ndarray) -> np.ndarray:
        """How far landmarks may be off in each direction: (n,) crop pixels.

        Of heatmaps the height of the peak says it, of the other heads the fourth column of
        ``predict_channels_and_stds``.

        Args:
            pose: (n, 3) x, y, score, or (n, 4) with the standard deviation of the distance, crop
                pixels.

        Raises:
            ValueError: the head needs the fourth column.
        """
        head = self.decoding.head
        if head == "heatmap":
            return STRIDE * peak_stds(pose[:, 2], float(self.spec["heatmap"]["sigma"]))
        if pose.shape[1] < 4:
            raise ValueError(
                f"landmarks of the head {head} have {pose.shape[1]} columns; how far off they may be "
                "is in the fourth, which predict_channels_and_stds returns"
            )
        return distance_stds(pose[:, 3], STRIDE)

    def matrices(self, boxes: np.ndarray) -> np.ndarray:
        """Compute the matrices (N, 2, 3) from image to crop pixels of boxes (N, 4) x1, y1, x2, y2.

        A side of a box counts as at least one pixel. A box may reach beyond its image.

        Raises:
            ValueError: a box is not finite.
        """
        broken = np.flatnonzero(~np.isfinite(np.reshape(boxes, (-1, 4))).all(1))
        if len(broken):
            raise ValueError(f"box {broken[0]} is {boxes[broken[0]]}, must be four finite numbers")
        return crop_matrices(boxes, self.crop, self.spec["padding"])

    def predict_crops(
        self, crops: UInt8[Tensor, "n 3 h w"], category_ids: np.ndarray
    ) -> list[np.ndarray]:
        """Predict landmarks in crop pixels: for each garment (num_landmarks, 3) x, y, score.

        Args:
            crops: as ``cut_crops`` returns them.
            category_ids: (N,) 1..13; selects the channels that hold a garment's landmarks.
        """
        return [pose[:, :3] for pose in self.predict_own(crops, category_ids)]

    def predict_own(
        self, crops: UInt8[Tensor, "n 3 h w"], category_ids: np.ndarray
    ) -> list[np.ndarray]:
        """As ``predict_crops``; but for heatmaps with a fourth column for ``landmark_stds``."""
        channels = self.predict_channels_and_stds(crops, category_ids)
        pairs = zip(category_ids, channels, strict=True)
        return [self.grouping.ungroup(int(category_id), values) for category_id, values in pairs]

    @torch.inference_mode()
    def predict_channels_and_stds(
        self, crops: UInt8[Tensor, "n 3 h w"], category_ids: np.ndarray
    ) -> np.ndarray:
        """Predict all K channels: (N, K, 3) x, y in crop pixels, score; arguments as ``predict_crops``.

        But for heatmaps there is a fourth column for ``landmark_stds``: the standard deviation of the
        distance to the true landmark, crop pixels.
        """
        decoding, grouping = self.decoding, self.grouping
        mirror = torch.from_numpy(grouping.mirror()) if decoding.flip_test else None
        columns = 3 if decoding.head == "heatmap" else 4
        out = [np.zeros((0, grouping.num_groups, columns), np.float32)]
        for i in range(0, len(crops), BATCH):
            batch = normalize(crops[i : i + BATCH].to(self.device).float() / 255)
            batch = batch.contiguous(memory_format=torch.channels_last)
            mask = None
            if decoding.channel_mask:
                mask = torch.from_numpy(grouping.mask[category_ids[i : i + BATCH] - 1]).to(self.device)
            out.append(self._decode_batch(self.model, batch, mirror, mask).cpu().numpy())
        return np.concatenate(out)

    def _decode_batch(
        self, model: nn.Module, batch: Tensor, mirror: Tensor | None, mask: Tensor | None
    ) -> Float[Tensor, "b k columns"]:
        """Predict normalised crops (B, 3, H, W) by a network and decode the output of its head.

        ``mirror`` (K,) is the permutation of the flip test, or None; ``mask`` (B, K) the channels that
        count, or None for all.
        """
        decoding = self.decoding
        with autocast(self.spec["precision"], self.device):
            if decoding.head == "simcc":
                output = predict_classes(model, batch, mirror)
            elif decoding.head == "rle":
                output = predict_normals(model, batch, mirror)
            else:
                output = predict_heatmaps(
                    model, batch, mirror, **self.spec["heatmap"], shift=decoding.flip_shift
                )
        if decoding.head == "heatmap":
            return decode(
                output if mask is None else output * mask[..., None, None], self.crop, decoding
            )
        read = decode_classes if decoding.head == "simcc" else decode_normals
        landmarks = read(output, self.crop)
        if mask is not None:
            landmarks[..., 2] *= mask
        return landmarks

    def predict(
        self,
        read_image: Callable[[int], np.ndarray],
        image_ids: np.ndarray,
        boxes: np.ndarray,
        category_ids: np.ndarray,
    ) -> list[np.ndarray]:
        """Predict landmarks in image pixels: for each garment (num_landmarks, 3) x, y, score.

        Args:
            read_image: image id to RGB uint8 (H, W, 3).
            image_ids: (N,) image of each garment; equal ids should stand together.
            boxes: (N, 4) x1, y1, x2, y2 in image pixels.
            category_ids: (N,) 1..13.
        """
        matrices = self.matrices(boxes)
        crops = cut_crops(read_image, image_ids, matrices, self.crop)
        poses = self.predict_crops(crops, category_ids)
        inverse = invert_matrices(matrices)
        return [to_image(pose, matrix) for pose, matrix in zip(poses, inverse, strict=True)]

    def predict_with_std(
        self,
        read_image: Callable[[int], np.ndarray],
        image_ids: np.ndarray,
        boxes: np.ndarray,
        category_ids: np.ndarray,
    ) -> list[np.ndarray]:
        """Predict landmarks and how far off they may be, by a landmarker with the head ``rle``.

        Arguments as of ``predict``.

        Returns:
            For each garment (num_landmarks, 4): x, y, score, and the standard deviation of the distance
            to the true landmark; x, y and the latter in image pixels.

        Raises:
            ValueError: the landmarker has another head.
        """
        if self.decoding.head != "rle":
            raise ValueError(
                f"a landmarker with the head {self.decoding.head} predicts no standard deviation; "
                "train one with train_landmarker.head: rle"
            )
        matrices = self.matrices(boxes)
        crops = cut_crops(read_image, image_ids, matrices, self.crop)
        inverse = invert_matrices(matrices)
        found = []
        for channels, category_id, matrix in zip(
            self.predict_channels_and_stds(crops, category_ids), category_ids, inverse, strict=True
        ):
            landmarks = to_image(self.grouping.ungroup(int(category_id), channels), matrix)
            landmarks[:, 3] *= matrix[0, 0]  # crops are scaled alike along both axes, and not turned
            found.append(landmarks)
        return found
