"""Sources of labelled images, one file a format; all are listed here by the name params use."""

from collections.abc import Callable
from pathlib import Path

from fashion_ops.catalog.sources import batches, coco, deepfashion2
from fashion_ops.catalog.sources.base import Entry, Labels, Listing

SOURCES: dict[str, Callable[[Path], Listing]] = {
    "deepfashion2": deepfashion2.entries,
    "coco": coco.entries,
    "batches": batches.entries,
}

__all__ = ["SOURCES", "Entry", "Labels", "Listing"]
