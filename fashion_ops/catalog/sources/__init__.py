"""Sources of labelled images, one file per format, by the name that parameters use."""

from collections.abc import Callable
from pathlib import Path

from fashion_ops.catalog.sources import batches, coco, deepfashion2
from fashion_ops.catalog.sources.base import Listing

SOURCES: dict[str, Callable[[Path], Listing]] = {
    "deepfashion2": deepfashion2.entries,
    "coco": coco.entries,
    "batches": batches.entries,
}
