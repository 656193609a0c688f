"""Training images of the detector: letterboxed into the square input, then warped as a batch.

Letterboxing keeps the aspect ratio and pads with black; boxes and landmarks move along. The garments of
an image are padded to the data set's largest number with category 0. With ``RandomCrop`` a crop of the
original image is letterboxed instead, a new one in every epoch.
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
from fashion_ops.methods.centernet.random_crop import RandomCrop, rescale_matrix
from fashion_ops.methods.parts.augment import Warp, warp_batch
from fashion_ops.methods.parts.crops import apply_matrices, crop_matrices, cut
from fashion_ops.methods.parts.fingerprint import fingerprint
from fashion_ops.methods.parts.regions import CACHE_BYTES


def letterbox_matrix(width: int, height: int, size: int, padding: float = 1.0) -> np.ndarray:
    """Affine matrix (2, 3) that letterboxes an image into the square input, centred.

    Args:
        width: of the image, pixels.
        height: of the image, pixels.
        size: side of the input, pixels.
        padding: the image's longer side takes 1/padding of the input's side.
    """
    whole = np.array([[-0.5, -0.5, width - 0.5, height - 0.5]])
    return crop_matrices(whole, (size, size), padding)[0]


class Images(Dataset[dict[str, Tensor]]):
    """Images with all their garments as tensors, in input pixels before augmentation.

    If all letterboxed images fit into memory, they are decoded once and kept. Otherwise, and with
    ``random_crop``, each is read when a batch needs it: by one thread per core, or by the single
    thread of a loader's worker process.

    Args:
        image_ids: images to use; one without garments trains the background.
        garments: their garments, including those without labelled landmarks.
        read_image: image id to RGB uint8 (H, W, 3); with ``random_crop`` it is also called with how
            much smaller the image may be decoded (1, 2, 4 or 8), see ``decode_rgb``.
        size: side of the input, pixels.
        random_crop: draws CenterNet's random crops; None letterboxes the whole image.
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
        self.random_crop = random_crop
        rows: dict[int, list[int]] = {int(i): [] for i in image_ids}
        for row, image_id in enumerate(garments.image_id):
            rows[int(image_id)].append(row)
        most = max([1, *map(len, rows.values())])
        self.rows = np.full((len(image_ids), most), -1)
        for i, image_id in enumerate(image_ids):
            garment_rows = rows[int(image_id)]
            self.rows[i, : len(garment_rows)] = garment_rows
        self._cache: tuple[Tensor, np.ndarray] | None = None
        if random_crop is None and len(image_ids) * 3 * size * size <= CACHE_BYTES:
            self._cache = self._read(np.arange(len(image_ids)), np.zeros(len(image_ids), np.int64))

    @property
    def differs_by_epoch(self) -> bool:
        """Whether an image is another sample in each epoch, see ``EpochSampler``."""
        return self.random_crop is not None

    def fingerprint(self) -> str:
        """Hash the images' ids and their garments, without the photos' pixels."""
        g = self.garments
        return fingerprint(self.size, self.image_ids, g.image_id, g.category_id, g.boxes, g.landmarks)

    def _read(self, indices: np.ndarray, epochs: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """Read images as uint8 (N, 3, size, size), and the matrices (N, 2, 3) from image to input.

        ``epochs`` (N,) says of which epoch each random crop is.
        """
        images = np.empty((len(indices), self.size, self.size, 3), np.uint8)
        matrices = np.empty((len(indices), 2, 3))
        read = self._letterbox if self.random_crop is None else self._crop
        if get_worker_info() is not None:
            cv2.setNumThreads(0)  # OpenCV's threads do not survive the fork
            for n, (i, epoch) in enumerate(zip(indices.tolist(), epochs.tolist(), strict=True)):
                matrices[n] = read(i, epoch, images[n])
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                matrices[:] = list(pool.map(read, indices.tolist(), epochs.tolist(), images))
        return torch.from_numpy(images).permute(0, 3, 1, 2), matrices

    def _letterbox(self, index: int, _: int, out: np.ndarray) -> np.ndarray:
        """Letterbox a whole image into ``out`` (size, size, 3) and return the matrix (2, 3)."""
        image = self.read_image(int(self.image_ids[index]))
        matrix = letterbox_matrix(image.shape[1], image.shape[0], self.size)
        out[:] = cut(image, matrix, (self.size, self.size))
        return matrix

    def _crop(self, index: int, epoch: int, out: np.ndarray) -> np.ndarray:
        """Letterbox a random crop of an image into ``out`` and return the matrix, as ``_letterbox``."""
        assert self.random_crop is not None
        matrix, shrink = self.random_crop.draw(index, epoch, self.size)
        image = self.read_image(int(self.image_ids[index]), shrink)
        small = rescale_matrix(matrix, image.shape, self.random_crop.sizes[index])
        cv2.warpAffine(image, small, (self.size, self.size), dst=out, flags=cv2.INTER_LINEAR)
        return matrix

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """Load the images at these positions of the data set as a batch.

        With random crops position ``e * N + i`` is the crop of image i in epoch e.

        Returns:
            ``image`` uint8 (B, 3, size, size), ``boxes`` (B, M, 4) x1, y1, x2, y2 in input pixels,
            ``category`` (B, M) 1..13, 0 for padding, and ``landmarks`` (B, M, K, 3) x, y in input
            pixels and visibility.
        """
        epochs, i = np.divmod(np.asarray(indices), len(self))
        if self._cache is None:
            images, matrices = self._read(i, epochs)
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
    """Warp each image of a batch, its boxes and its landmarks by a random similarity.

    Args:
        batch: of ``Images``.
        mirror: permutation (K,) of the grouping's channels under a flip.
        warp: ranges of the augmentation.
        generator: source of randomness.

    Returns:
        Images in 0..1, boxes and landmarks in their pixels; boxes may reach beyond the input.

    Raises:
        ValueError: ``warp`` rotates, after which boxes would no longer be tight.
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
