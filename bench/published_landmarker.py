"""HRNet's published training input, loss and accuracy: one garment, one landmark at a time, float32.

The peer of ``bench.landmarker_training``, written from the description of the released code (OpenCV and
NumPy in a ``Dataset``, a loss that loops over the joints, the accuracy of each batch), with the changes
of Aggregation & Finetuning.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.parts.augment import MEAN, STD
from fashion_ops.params import TrainLandmarker

STRIDE = 4


class PublishedCrops(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Crop (3, h, w), heatmaps (K, h/4, w/4) and target weights (K, 1) of a garment.

    Args:
        paths: of the images, by image id.
        garments: to crop.
        mirror: permutation of the landmarks under a flip.
        config: crop, padding, sigma of the heatmaps and augmentation.
    """

    def __init__(
        self,
        paths: dict[int, Path],
        garments: TrainingGarments,
        mirror: np.ndarray,
        config: TrainLandmarker,
    ) -> None:
        self.paths, self.garments, self.mirror, self.crop = paths, garments, mirror, config.crop
        self.padding, self.sigma = config.padding, config.heatmap_sigma
        self.flip, self.rotation, self.scale = config.flip, config.rotation, config.scale
        self.rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.garments)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        image = cv2.imread(str(self.paths[int(self.garments.image_id[index])]))
        assert image is not None
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        points = self.garments.landmarks[index].copy()
        x1, y1, x2, y2 = self.garments.boxes[index]
        center = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
        width, height = self.crop
        side = max((x2 - x1), (y2 - y1) * width / height) * self.padding
        side *= np.clip(self.rng.normal(1, self.scale), 1 - self.scale, 1 + self.scale)
        angle = 0.0
        if self.rng.random() < 0.6:
            angle = np.clip(self.rng.normal() * self.rotation, -2 * self.rotation, 2 * self.rotation)
        if self.rng.random() < self.flip:
            image = image[:, ::-1]
            points[:, 0] = image.shape[1] - 1 - points[:, 0]
            points = points[self.mirror]
            center[0] = image.shape[1] - 1 - center[0]
        matrix = cv2.getRotationMatrix2D(tuple(center), angle, width / side)
        matrix[:, 2] += np.array([width, height]) / 2 - center
        pixels = cv2.warpAffine(image, matrix, self.crop, flags=cv2.INTER_LINEAR)
        for k in range(len(points)):
            if points[k, 2] > 0:
                points[k, :2] = matrix[:, :2] @ points[k, :2] + matrix[:, 2]
        pixels = (pixels.astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(
            STD, np.float32
        )
        target, weight = self.targets(points)
        crop = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return crop, torch.from_numpy(target), torch.from_numpy(weight)

    def targets(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gaussians in a window of three sigmas around whole cells, one landmark after the other."""
        width, height = self.crop[0] // STRIDE, self.crop[1] // STRIDE
        target = np.zeros((len(points), height, width), np.float32)
        weight = (points[:, 2:] > 0).astype(np.float32)
        reach = int(3 * self.sigma)
        for k, (x, y, visible) in enumerate(points):
            if visible <= 0:
                continue
            cx, cy = int(x / STRIDE + 0.5), int(y / STRIDE + 0.5)
            left, top, right, bottom = cx - reach, cy - reach, cx + reach + 1, cy + reach + 1
            if left >= width or top >= height or right <= 0 or bottom <= 0:
                weight[k] = 0
                continue
            axis = np.arange(2 * reach + 1, dtype=np.float32)
            bell = np.exp(-((axis - reach) ** 2 + (axis[:, None] - reach) ** 2) / (2 * self.sigma**2))
            xs = slice(max(0, left), min(right, width))
            ys = slice(max(0, top), min(bottom, height))
            target[k, ys, xs] = bell[ys.start - top : ys.stop - top, xs.start - left : xs.stop - left]
        return target, weight


class JointsLoss(nn.Module):
    """Half the weighted mean squared error, one joint after the other."""

    def forward(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Loss of output (B, K, h, w) and target (B, K, h, w) with weight (B, K, 1)."""
        b, k = output.shape[:2]
        predicted = output.reshape(b, k, -1).split(1, 1)
        expected = target.reshape(b, k, -1).split(1, 1)
        loss = output.new_zeros(())
        for joint in range(k):
            p, t, w = predicted[joint].squeeze(1), expected[joint].squeeze(1), weight[:, joint]
            loss = loss + 0.5 * nn.functional.mse_loss(p * w, t * w)
        return loss / k


def peaks(maps: np.ndarray) -> np.ndarray:
    """Cells (B, K, 2) of the maxima of maps (B, K, h, w)."""
    flat = maps.reshape(*maps.shape[:2], -1).argmax(2)
    return np.stack([flat % maps.shape[3], flat // maps.shape[3]], 2).astype(np.float32)


def accuracy(output: np.ndarray, target: np.ndarray) -> float:
    """Share of landmarks within half a tenth of the maps' sides, averaged over labelled joints.

    The released loop computes it after every step. A target peak in the first rows or columns counts as
    unlabelled.
    """
    predicted, expected = peaks(output), peaks(target)
    tenth = np.array(output.shape[2:], np.float32) / 10
    distances = np.full(predicted.shape[:2], -1.0)
    for n in range(len(predicted)):
        for k in range(predicted.shape[1]):
            if expected[n, k, 0] > 1 and expected[n, k, 1] > 1:
                distances[n, k] = np.linalg.norm(predicted[n, k] / tenth - expected[n, k] / tenth)
    shares = [(d[d >= 0] < 0.5).mean() for d in distances.T if (d >= 0).any()]
    return float(np.mean(shares)) if shares else 0.0
