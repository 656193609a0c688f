"""Training samples: the region around each garment, with its landmarks in region pixels.

A region is the crop that a model is given plus a margin, so that an augmented crop is black only where
the photo ends. Regions that fit into
``CACHE_BYTES`` are cut once and kept in memory; otherwise the loader's workers cut them in each epoch.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch.utils.data import Dataset

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.parts.augment import Warp, reach
from fashion_ops.methods.parts.crops import apply_matrices, crop_matrices, cut
from fashion_ops.methods.parts.fingerprint import fingerprint

MARGIN = 1.3  # region side over crop side, where the augmentation is not known
CACHE_BYTES = 4 << 30


def region_size(crop: tuple[int, int], warp: Warp | None = None) -> tuple[int, int]:
    """Compute the (width, height) of the region around a crop (width, height), pixels.

    It has the parity of the crop, so that an unchanged crop falls on pixels. ``warp`` is the
    augmentation whose crops it holds; None takes ``MARGIN``.
    """
    if warp is not None:
        width, height = (n + (n - c) % 2 for n, c in zip(reach(crop, warp), crop, strict=True))
        return width, height
    return round(crop[0] * MARGIN), round(crop[1] * MARGIN)


class Regions(Dataset[dict[str, torch.Tensor]]):
    """Garments as tensors: region uint8 (3, h, w), landmarks (K, 3), category and soft label.

    Args:
        garments: boxes, landmarks and labels.
        read_image: image id to RGB uint8 (H, W, 3).
        crop: crop (width, height) of the model, pixels.
        padding: factor on the box, >= 1.
        labelled: garments whose landmarks the fingerprint is of, where those of ``garments`` hold
            predictions, whose last bits differ between machines; None takes ``garments``.
        warp: the augmentation that the region must suffice for; None takes ``MARGIN``.
    """

    def __init__(
        self,
        garments: TrainingGarments,
        read_image: Callable[[int], np.ndarray],
        crop: tuple[int, int],
        padding: float,
        labelled: TrainingGarments | None = None,
        warp: Warp | None = None,
    ) -> None:
        self.garments = garments
        self._named = (tuple(crop), padding, (labelled or garments).landmarks)
        self.read_image = read_image
        self.size = region_size(crop, warp)
        # The scale of the crop, with the margin around it.
        self.matrices = crop_matrices(garments.boxes, crop, padding)
        self.matrices[:, :, 2] += (np.array(self.size) - np.array(crop)) / 2
        points = apply_matrices(self.matrices, garments.landmarks[:, :, :2])
        self.landmarks = np.concatenate([points, garments.landmarks[:, :, 2:]], 2).astype(np.float32)
        self._cache: torch.Tensor | None = None
        if len(garments) * 3 * self.size[0] * self.size[1] <= CACHE_BYTES:
            self._cache = torch.from_numpy(self.cut_all())

    def cut_all(self) -> np.ndarray:
        """Cut every region, uint8 (N, 3, h, w); each image is read once."""
        out = np.empty((len(self.garments), 3, self.size[1], self.size[0]), np.uint8)
        order = np.argsort(self.garments.image_id, kind="stable")
        last, image = None, np.empty(0)
        for i in order:
            if (image_id := int(self.garments.image_id[i])) != last:
                last, image = image_id, self.read_image(image_id)
            out[i] = cut(image, self.matrices[i], self.size).transpose(2, 0, 1)
        return out

    def fingerprint(self) -> str:
        """Hash the garments and how they are cut, without the photos' pixels."""
        g = self.garments
        given = (self.size, *self._named, g.boxes)  # not what is computed, which may differ in a bit
        return fingerprint(*given, g.image_id, g.category_id, g.soft_labels)

    def __len__(self) -> int:
        return len(self.garments)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        """Load a batch.

        Returns:
            ``region`` uint8 (B, 3, h, w), ``landmarks`` (B, K, 3) x, y in region pixels and visibility,
            ``category`` (B,) 1..13 and ``soft_label`` (B, k).
        """
        i = np.asarray(indices)
        if self._cache is not None:
            regions = self._cache[torch.from_numpy(i)]
        else:
            cuts = [
                cut(self.read_image(int(self.garments.image_id[j])), self.matrices[j], self.size)
                for j in i
            ]
            regions = torch.from_numpy(np.stack(cuts).transpose(0, 3, 1, 2).copy())
        return {
            "region": regions,
            "landmarks": torch.from_numpy(self.landmarks[i]),
            "category": torch.from_numpy(self.garments.category_id[i].astype(np.int64)),
            "soft_label": torch.from_numpy(self.garments.soft_labels[i].astype(np.float32)),
        }
