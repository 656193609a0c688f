"""Whole pictures for the detector: fitted into the square input, then warped as a batch.

A picture keeps its aspect and is padded with black; everything moves along with it. Instances of a
picture are padded to the data set's largest number; category 0 marks padding.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from fashion_ops.methods.parts.augment import Warp, warp_batch
from fashion_ops.methods.parts.crops import apply_matrices, crop_matrices, cut
from fashion_ops.methods.parts.regions import CACHE_BYTES, Garments


def fit_matrix(width: int, height: int, size: int, padding: float = 1.0) -> np.ndarray:
    """Affine matrix (2, 3) from a picture to the square input: keep the aspect, centre, pad.

    With ``padding`` the longer side takes 1/padding of the input's.
    """
    whole = np.array([[-0.5, -0.5, width - 0.5, height - 0.5]])
    return crop_matrices(whole, (size, size), padding)[0]


class Pictures(Dataset[dict[str, Tensor]]):
    """Pictures with all their garments as tensors, in input pixels before augmentation.

    Pictures that fit are kept in memory, decoded and fitted; otherwise each is read when asked for.

    Args:
        image_ids: pictures to use; one without garments teaches the background.
        garments: their garments, also those without labelled landmarks.
        read_image: image id -> RGB uint8 (H, W, 3).
        size: side of the input, pixels.
    """

    def __init__(
        self,
        image_ids: np.ndarray,
        garments: Garments,
        read_image: Callable[[int], np.ndarray],
        size: int,
    ) -> None:
        self.image_ids, self.garments = image_ids, garments
        self.read_image, self.size = read_image, size
        rows: dict[int, list[int]] = {int(i): [] for i in image_ids}
        for row, image_id in enumerate(garments.image_id):
            rows[int(image_id)].append(row)
        self.most = max([1, *map(len, rows.values())])
        self.rows = np.full((len(image_ids), self.most), -1)
        for i, image_id in enumerate(image_ids):
            own = rows[int(image_id)]
            self.rows[i, : len(own)] = own
        self._cache: tuple[Tensor, np.ndarray] | None = None
        if len(image_ids) * 3 * size * size <= CACHE_BYTES:
            self._cache = self._read(np.arange(len(image_ids)))

    def _read(self, indices: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """Fitted pictures uint8 (N, 3, size, size) and the matrices (N, 2, 3) that fitted them."""
        pictures = torch.empty(len(indices), 3, self.size, self.size, dtype=torch.uint8)
        matrices = np.empty((len(indices), 2, 3))
        for n, i in enumerate(indices):
            image = self.read_image(int(self.image_ids[i]))
            matrices[n] = fit_matrix(image.shape[1], image.shape[0], self.size)
            fitted = cut(image, matrices[n], (self.size, self.size))
            pictures[n] = torch.from_numpy(fitted).permute(2, 0, 1)
        return pictures, matrices

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """A whole batch at once: picture, boxes (B, M, 4), category (B, M), landmarks (B, M, K, 3)."""
        i = np.asarray(indices)
        if self._cache is None:
            pictures, matrices = self._read(i)
        else:
            pictures, matrices = self._cache[0][torch.from_numpy(i)], self._cache[1][i]
        rows, g = self.rows[i], self.garments
        real = rows >= 0
        boxes = np.where(real[..., None], g.boxes[rows], 0.0)
        landmarks = np.where(real[..., None, None], g.landmarks[rows], 0.0)
        b, m, k, _ = landmarks.shape
        corners = apply_matrices(matrices, boxes.reshape(b, 2 * m, 2)).reshape(b, m, 4)
        points = apply_matrices(matrices, landmarks[..., :2].reshape(b, m * k, 2)).reshape(b, m, k, 2)
        return {
            "picture": pictures,
            "boxes": torch.from_numpy(corners.astype(np.float32)),
            "category": torch.from_numpy(np.where(real, g.category_id[rows], 0).astype(np.int64)),
            "landmarks": torch.from_numpy(
                np.concatenate([points, landmarks[..., 2:]], -1).astype(np.float32)
            ),
        }


def warp_pictures(
    batch: dict[str, Tensor], mirror: Tensor, warp: Warp, generator: torch.Generator
) -> tuple[Float[Tensor, "b 3 s s"], Float[Tensor, "b m 4"], Float[Tensor, "b m k 3"]]:
    """Pictures in 0..1, boxes and landmarks under one random similarity a picture.

    Boxes may reach beyond the input; ``warp`` must not rotate, or they would no longer be tight.

    Args:
        batch: as ``Pictures`` gives it.
        mirror: permutation (K,) of the grouping's channels under a flip.
        warp: how far to go.
        generator: source of randomness.
    """
    if warp.rotation:
        raise ValueError(f"boxes can't be rotated: warp.rotation is {warp.rotation}, must be 0")
    boxes, landmarks = batch["boxes"], batch["landmarks"]
    b, m, k, _ = landmarks.shape
    size = batch["picture"].shape[-1]
    first = torch.arange(m, device=mirror.device)[:, None] * k
    corners = torch.arange(m * k, m * (k + 2), device=mirror.device)
    order = torch.cat([(first + mirror).flatten(), corners])
    ends = torch.cat([boxes.view(b, 2 * m, 2), boxes.new_zeros(b, 2 * m, 1)], -1)
    points = torch.cat([landmarks.reshape(b, m * k, 3), ends], 1)
    pixels, points = warp_batch(batch["picture"], points, (size, size), order, warp, generator)
    ends = points[:, m * k :, :2].reshape(b, m, 2, 2)
    boxes = torch.cat([ends.amin(2), ends.amax(2)], -1)
    return pixels, boxes, points[:, : m * k].reshape(b, m, k, 3)
