"""Whole images with their garments' boxes (and masks), as torchvision's detectors take them.

Images keep their size here; the model resizes them. Boxes count from the image's edge, half a pixel
beyond the first pixel's centre, so that resizing is a mere factor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fashion_ops.methods.detection.targets import polygon_mask


@dataclass(frozen=True)
class Labels:
    """The garments of one image: boxes (n, 4), categories (n,), and each one's polygons.

    Polygons are flat x, y lists; without masks there are none.
    """

    boxes: np.ndarray
    category_id: np.ndarray
    polygons: Sequence[Sequence[np.ndarray] | np.ndarray]


def labels_of(garments: pd.DataFrame, *, masks: bool) -> dict[int, Labels]:
    """Garments by image.

    Args:
        garments: of the catalog.
        masks: HTC needs polygons.

    Raises:
        ValueError: an empty box, or no polygon where masks are needed.
    """
    if len(garments) == 0:
        return {}
    garments = garments.sort_values("image_id", kind="stable")
    boxes = np.stack(garments["box"].to_list()).astype(np.float32)
    polygons = garments["polygons"].to_list() if masks else [()] * len(garments)
    for garment_id, box, own in zip(garments["garment_id"], boxes, polygons, strict=True):
        if not (box[2:] > box[:2]).all():
            raise ValueError(f"garment {garment_id}: its box {box.tolist()} is empty")
        if masks and len(own) == 0:
            raise ValueError(
                f"garment {garment_id}: no polygon to make its mask of; "
                "HTC needs one for each garment, cascade_rcnn needs none"
            )
    categories = garments["category_id"].to_numpy(np.int64, copy=True)
    image_ids, firsts = np.unique(garments["image_id"].to_numpy(np.int64), return_index=True)
    ends = [*firsts[1:].tolist(), len(garments)]
    return {
        image_id: Labels(boxes[first:end], categories[first:end], polygons[first:end])
        for image_id, first, end in zip(image_ids.tolist(), firsts.tolist(), ends, strict=True)
    }


class LabelledImages(Dataset[Any]):
    """Images with all their garments, read when asked for.

    Args:
        image_ids: images to use; one without garments teaches the background.
        labels: of ``labels_of``.
        read_image: image id -> RGB uint8 (H, W, 3).
        masks: also make masks, for HTC.
    """

    def __init__(
        self,
        image_ids: np.ndarray,
        labels: dict[int, Labels],
        read_image: Callable[[int], np.ndarray],
        *,
        masks: bool,
    ) -> None:
        self.image_ids, self.labels = image_ids, labels
        self.read_image, self.masks = read_image, masks

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        """An image uint8 (3, H, W) and its boxes, labels and, if asked for, masks uint8 (n, H, W)."""
        image_id = int(self.image_ids[index])
        image = self.read_image(image_id)
        own = self.labels.get(image_id, _NOTHING)
        target = {
            "boxes": torch.from_numpy(own.boxes + np.float32(0.5)),
            "labels": torch.from_numpy(own.category_id),
        }
        if self.masks:
            masks = [polygon_mask(p, *image.shape[:2]) for p in own.polygons]
            shape = (0, *image.shape[:2])
            target["masks"] = torch.from_numpy(np.stack(masks) if masks else np.zeros(shape, np.uint8))
        return torch.from_numpy(image).permute(2, 0, 1), target

    def __getitems__(self, indices: list[int]) -> dict[str, Any]:
        """A whole batch: ``images`` and ``targets``, lists of what ``__getitem__`` gives."""
        images, targets = zip(*(self[i] for i in indices), strict=True)
        return {"images": list(images), "targets": list(targets)}


_NOTHING = Labels(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), [])
