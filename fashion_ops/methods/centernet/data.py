"""Whole images for the detector: fitted into the square input, then warped as a batch.

An image keeps its aspect and is padded with black; everything moves along with it. Instances of a
image are padded to the data set's largest number; category 0 marks padding. With ``RandomCrop`` it
is a crop that is fitted, straight from the original's pixels, anew in every epoch.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.centernet.random_crop import RandomCrop, shrunk
from fashion_ops.methods.parts.augment import Warp, warp_batch
from fashion_ops.methods.parts.crops import apply_matrices, crop_matrices, cut
from fashion_ops.methods.parts.regions import CACHE_BYTES


def fit_matrix(width: int, height: int, size: int, padding: float = 1.0) -> np.ndarray:
    """Affine matrix (2, 3) from an image to the square input: keep the aspect, centre, pad.

    With ``padding`` the longer side takes 1/padding of the input's.
    """
    whole = np.array([[-0.5, -0.5, width - 0.5, height - 0.5]])
    return crop_matrices(whole, (size, size), padding)[0]


class Images(Dataset[dict[str, Tensor]]):
    """Images with all their garments as tensors, in input pixels before augmentation.

    Images that fit are kept in memory, decoded and fitted; otherwise, and with ``random_crop``, each
    is read when asked for: by a thread a core, or by the one thread of a loader's worker.

    Args:
        image_ids: images to use; one without garments teaches the background.
        garments: their garments, also those without labelled landmarks.
        read_image: image id -> RGB uint8 (H, W, 3); with ``random_crop`` (image id, shrink), see
            ``decode_rgb``.
        size: side of the input, pixels.
        random_crop: draw CenterNet's random crops; None fits the whole image.
    """

    def __init__(
        self,
        image_ids: np.ndarray,
        garments: TrainingGarments,
        read_image: Callable[..., np.ndarray],
        size: int,
        random_crop: RandomCrop | None = None,
    ) -> None:
        self.image_ids, self.garments = image_ids, garments
        self.read_image, self.size = read_image, size
        self.random_crop, self.epoch = random_crop, 0
        rows: dict[int, list[int]] = {int(i): [] for i in image_ids}
        for row, image_id in enumerate(garments.image_id):
            rows[int(image_id)].append(row)
        self.most = max([1, *map(len, rows.values())])
        self.rows = np.full((len(image_ids), self.most), -1)
        for i, image_id in enumerate(image_ids):
            own = rows[int(image_id)]
            self.rows[i, : len(own)] = own
        self._cache: tuple[Tensor, np.ndarray] | None = None
        if random_crop is None and len(image_ids) * 3 * size * size <= CACHE_BYTES:
            self._cache = self._read(np.arange(len(image_ids)))

    def set_epoch(self, epoch: int) -> None:
        """Which epoch's random crops to give."""
        self.epoch = epoch

    def _read(self, indices: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """Fitted images uint8 (N, 3, size, size) and the matrices (N, 2, 3) that fitted them."""
        images = np.empty((len(indices), self.size, self.size, 3), np.uint8)
        matrices = np.empty((len(indices), 2, 3))
        read = self._fit if self.random_crop is None else self._crop
        if get_worker_info() is not None:
            cv2.setNumThreads(0)  # its threads do not survive the fork
            for n, i in enumerate(indices):
                matrices[n] = read(int(i), images[n])
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                matrices[:] = list(pool.map(read, indices.tolist(), images))
        return torch.from_numpy(images).permute(0, 3, 1, 2), matrices

    def _fit(self, index: int, out: np.ndarray) -> np.ndarray:
        """Fit a whole image into ``out`` (size, size, 3); returns the matrix (2, 3)."""
        image = self.read_image(int(self.image_ids[index]))
        matrix = fit_matrix(image.shape[1], image.shape[0], self.size)
        out[:] = cut(image, matrix, (self.size, self.size))
        return matrix

    def _crop(self, index: int, out: np.ndarray) -> np.ndarray:
        """As ``_fit``, for a random crop of the image."""
        assert self.random_crop is not None
        matrix, shrink = self.random_crop.draw(index, self.epoch, self.size)
        image = self.read_image(int(self.image_ids[index]), shrink)
        small = shrunk(matrix, image.shape, self.random_crop.sizes_N2[index])
        cv2.warpAffine(image, small, (self.size, self.size), dst=out, flags=cv2.INTER_LINEAR)
        return matrix

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """A whole batch at once: image, boxes (B, M, 4), category (B, M), landmarks (B, M, K, 3)."""
        i = np.asarray(indices)
        if self._cache is None:
            images, matrices = self._read(i)
        else:
            images, matrices = self._cache[0][torch.from_numpy(i)], self._cache[1][i]
        rows, g = self.rows[i], self.garments
        real = rows >= 0
        boxes = np.where(real[..., None], g.boxes[rows], 0.0)
        landmarks = np.where(real[..., None, None], g.landmarks[rows], 0.0)
        b, m, k, _ = landmarks.shape
        corners = apply_matrices(matrices, boxes.reshape(b, 2 * m, 2)).reshape(b, m, 4)
        points = apply_matrices(matrices, landmarks[..., :2].reshape(b, m * k, 2)).reshape(b, m, k, 2)
        return {
            "image": images,
            "boxes": torch.from_numpy(corners.astype(np.float32)),
            "category": torch.from_numpy(np.where(real, g.category_id[rows], 0).astype(np.int64)),
            "landmarks": torch.from_numpy(
                np.concatenate([points, landmarks[..., 2:]], -1).astype(np.float32)
            ),
        }


def warp_images(
    batch: dict[str, Tensor], mirror: Tensor, warp: Warp, generator: torch.Generator
) -> tuple[Float[Tensor, "b 3 s s"], Float[Tensor, "b m 4"], Float[Tensor, "b m k 3"]]:
    """Images in 0..1, boxes and landmarks under one random similarity an image.

    Boxes may reach beyond the input; ``warp`` must not rotate, or they would no longer be tight.

    Args:
        batch: as ``Images`` gives it.
        mirror: permutation (K,) of the grouping's channels under a flip.
        warp: how far to go.
        generator: source of randomness.
    """
    if warp.rotation:
        raise ValueError(f"boxes can't be rotated: warp.rotation is {warp.rotation}, must be 0")
    boxes, landmarks = batch["boxes"], batch["landmarks"]
    b, m, k, _ = landmarks.shape
    size = batch["image"].shape[-1]
    first = torch.arange(m, device=mirror.device)[:, None] * k
    corners = torch.arange(m * k, m * (k + 2), device=mirror.device)
    order = torch.cat([(first + mirror).flatten(), corners])
    ends = torch.cat([boxes.view(b, 2 * m, 2), boxes.new_zeros(b, 2 * m, 1)], -1)
    points = torch.cat([landmarks.reshape(b, m * k, 3), ends], 1)
    pixels, points = warp_batch(batch["image"], points, (size, size), order, warp, generator)
    ends = points[:, m * k :, :2].reshape(b, m, 2, 2)
    boxes = torch.cat([ends.amin(2), ends.amax(2)], -1)
    return pixels, boxes, points[:, : m * k].reshape(b, m, k, 3)
