"""Whole images with the boxes (and masks) of their garments, as torchvision's detectors take them.

Images keep their size here; the model resizes them. Boxes are in edge coordinates, see ``targets``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fashion_ops.methods.detection.targets import polygon_mask, to_edges
from fashion_ops.methods.parts.fingerprint import fingerprint


@dataclass(frozen=True)
class Labels:
    """The garments of one image.

    Attributes:
        boxes: (n, 4) x1, y1, x2, y2, pixels.
        category_id: (n,).
        polygons: of each garment, as flat x, y lists; empty without masks.
    """

    boxes: np.ndarray
    category_id: np.ndarray
    polygons: Sequence[Sequence[np.ndarray] | np.ndarray]


def labels_of(garments: pd.DataFrame, *, masks: bool) -> dict[int, Labels]:
    """Group garments by image: image id -> the labels of that image; images without any are missing.

    Args:
        garments: rows of the catalog's garments.
        masks: whether polygons are needed, as for HTC.

    Raises:
        ValueError: a garment has an empty box, or no polygon where one is needed.
    """
    if len(garments) == 0:
        return {}
    garments = garments.sort_values("image_id", kind="stable")
    boxes = np.stack(garments["box"].to_list()).astype(np.float32)
    polygons = garments["polygons"].to_list() if masks else [()] * len(garments)
    for garment_id, box, outline in zip(garments["garment_id"], boxes, polygons, strict=True):
        if not (box[2:] > box[:2]).all():
            raise ValueError(f"garment {garment_id}: its box {box.tolist()} is empty")
        if masks and len(outline) == 0:
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
    """Images with all their garments, read when a batch needs them.

    Args:
        image_ids: images to use; one without garments trains the background.
        labels: of ``labels_of``.
        read_image: image id to RGB uint8 (H, W, 3).
        masks: whether to draw masks, as for HTC.
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

    def fingerprint(self) -> str:
        """Hash the images' ids and their labels, without the photos' pixels."""
        labels = [self.labels.get(int(i), _NO_LABELS) for i in self.image_ids]
        columns = [column for of in labels for column in (of.boxes, of.category_id)]
        outlines = [np.concatenate(polygon) for of in labels for polygon in of.polygons if len(polygon)]
        return fingerprint(self.masks, self.image_ids, *columns, *outlines)

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return an image uint8 (3, H, W) and its ``boxes``, ``labels`` and, if drawn, ``masks``."""
        image_id = int(self.image_ids[index])
        image = self.read_image(image_id)
        labels = self.labels.get(image_id, _NO_LABELS)
        target = {
            "boxes": to_edges(torch.from_numpy(labels.boxes)),
            "labels": torch.from_numpy(labels.category_id),
        }
        if self.masks:
            masks = [polygon_mask(p, *image.shape[:2]) for p in labels.polygons]
            shape = (0, *image.shape[:2])
            target["masks"] = torch.from_numpy(np.stack(masks) if masks else np.zeros(shape, np.uint8))
        return torch.from_numpy(image).permute(2, 0, 1), target

    def __getitems__(self, indices: list[int]) -> dict[str, Any]:
        """Return a batch: the lists ``images`` and ``targets`` of what ``__getitem__`` returns."""
        images, targets = zip(*(self[i] for i in indices), strict=True)
        return {"images": list(images), "targets": list(targets)}


_NO_LABELS = Labels(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), [])
