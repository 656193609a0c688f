"""All models of a bundle as one object: photo in, garments with named landmarks out.

A bundle is a folder with ``detector``, ``postprocess``, ``landmarker``, ``finetuned/CATEGORY``,
``refined/CATEGORY`` and, where the boxes are Cascade R-CNN's or HTC's, ``box_detector``; the pipeline's
``models`` folder is one, and so is a registered model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fashion_ops.catalog.images import probe_bytes, read_picture
from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.catalog.reader import decode_rgb
from fashion_ops.methods.centernet.chosen import read_chosen
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.detection.inference import BoxDetector, holds_detector
from fashion_ops.methods.detection.sources import Detects
from fashion_ops.methods.parts.crops import invert_matrices
from fashion_ops.methods.posefix.inference import Refiner
from fashion_ops.methods.top_down.inference import LandmarkPredictor, cut_crops, to_picture
from fashion_ops.taxonomy import CATEGORIES, category

ROWS = ("universal", "finetuned", "refined")
Landmarks = list[np.ndarray]


@dataclass(frozen=True)
class Garment:
    """One garment in a photo.

    ``box`` is (x1, y1, x2, y2), ``landmarks`` name -> (x, y, score); pixels of the photo.
    """

    category: str
    score: float
    box: tuple[float, float, float, float]
    landmarks: dict[str, tuple[float, float, float]]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, coordinates rounded to a hundredth of a pixel."""
        return {
            "category": self.category,
            "score": round(self.score, 4),
            "box": [round(v, 2) for v in self.box],
            "landmarks": {
                name: {"x": round(x, 2), "y": round(y, 2), "score": round(s, 4)}
                for name, (x, y, s) in self.landmarks.items()
            },
        }


@dataclass(frozen=True)
class Cascade:
    """Universal landmarker, the finetuned ones and the refiners, run in that order on one crop each."""

    universal: LandmarkPredictor
    finetuned: dict[int, LandmarkPredictor]
    refined: dict[int, Refiner]

    @classmethod
    def load(cls, bundle: Path, device: str = "cpu") -> "Cascade":
        """Read the landmark models of a bundle; every category must be there."""
        return cls(
            LandmarkPredictor.load(bundle / "landmarker", device),
            {c.id: LandmarkPredictor.load(bundle / "finetuned" / c.name, device) for c in CATEGORIES},
            {c.id: Refiner.load(bundle / "refined" / c.name, device) for c in CATEGORIES},
        )

    def predict(
        self,
        read_image: Callable[[int], np.ndarray],
        image_ids: np.ndarray,
        boxes: np.ndarray,
        category_ids: np.ndarray,
        rows: tuple[str, ...] = ROWS,
    ) -> dict[str, Landmarks]:
        """Landmarks (num_landmarks, 3) x, y, score in picture pixels for every garment, by row.

        Args:
            read_image: image id to RGB uint8.
            image_ids: (N,) picture of each garment; equal ids should stand together.
            boxes: (N, 4) x1, y1, x2, y2.
            category_ids: (N,) 1..13.
            rows: which of ``ROWS`` to return.
        """
        matrices = self.universal.matrices(boxes)
        crops = cut_crops(read_image, image_ids, matrices, self.universal.crop)
        found: dict[str, Landmarks] = {row: [np.empty(0)] * len(boxes) for row in rows}
        if "universal" in rows:
            found["universal"] = self.universal.predict_crops(crops, category_ids)
        if {"finetuned", "refined"} & set(rows):
            for c in np.unique(category_ids):
                own = np.flatnonzero(category_ids == c)
                own_crops = crops[own]
                poses = self.finetuned[int(c)].predict_crops(own_crops, category_ids[own])
                if "finetuned" in rows:
                    _put(found["finetuned"], own, poses)
                if "refined" in rows:
                    refined = self.refined[int(c)].refine(own_crops, torch.from_numpy(np.stack(poses)))
                    _put(found["refined"], own, list(refined.cpu().numpy()))
        inverse = invert_matrices(matrices)
        return {
            row: [to_picture(pose, m) for pose, m in zip(poses, inverse, strict=True)]
            for row, poses in found.items()
        }


def _put(target: Landmarks, positions: np.ndarray, values: Landmarks) -> None:
    for position, value in zip(positions, values, strict=True):
        target[position] = value


@dataclass(frozen=True)
class Predictor:
    """Detector and landmark cascade together."""

    detector: Detects
    cascade: Cascade

    @classmethod
    def load(cls, bundle: Path, device: str = "cpu") -> "Predictor":
        """Read a bundle. The boxes are those of its ``box_detector`` if it holds one, else CenterNet's.

        Raises:
            FileNotFoundError: a part is missing; names the folder.
        """
        if holds_detector(bundle / "box_detector"):
            boxes = BoxDetector.load(bundle / "box_detector", device)
            return cls(boxes, Cascade.load(bundle, device))
        detector = Detector.load(bundle / "detector", device)
        detector = detector.with_post(read_chosen(bundle / "postprocess"))
        return cls(detector.for_boxes(), Cascade.load(bundle, device))

    def predict(
        self, image: np.ndarray | str | Path, min_score: float = 0.3, row: str = "refined"
    ) -> list[Garment]:
        """Garments of one photo, best first.

        Args:
            image: RGB uint8 (H, W, 3), or the path of a photo.
            min_score: garments below are left out.
            row: ``refined``, ``finetuned`` or ``universal``.

        Raises:
            ValueError: the file is no picture, or the array has another shape or type.
        """
        pixels = read_photo(Path(image)) if isinstance(image, str | Path) else image
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise ValueError(
                f"expected RGB uint8 of shape (H, W, 3), got {pixels.dtype} {tuple(pixels.shape)}"
            )
        found = [d for d in self.detector.detect([pixels])[0] if d.score >= min_score]
        if not found:
            return []
        ids = np.array([d.category_id for d in found])
        boxes = np.stack([d.box for d in found])
        poses = self.cascade.predict(lambda _: pixels, np.zeros(len(found)), boxes, ids, (row,))[row]
        return [
            Garment(
                category=category(d.category_id).name,
                score=float(d.score),
                box=tuple(float(v) for v in d.box),  # type: ignore[arg-type]
                landmarks={
                    name: (float(x), float(y), float(s))
                    for name, (x, y, s) in zip(
                        category(d.category_id).landmark_names, pose, strict=True
                    )
                },
            )
            for d, pose in zip(found, poses, strict=True)
        ]


def read_photo(path: Path) -> np.ndarray:
    """A photo as RGB uint8, turned upright by its EXIF orientation.

    Raises:
        ValueError: missing, not a picture, cut off or too large; names the file.
    """
    return decode_photo(photo_bytes(path), str(path))


def photo_bytes(path: Path) -> bytes:
    """A photo's file, unless it is larger than ``ingest`` would take.

    Raises:
        ValueError: missing or too large; names the file.
    """
    try:
        return read_picture(path)
    except Refused as refused:
        why = "cannot be read" if refused.reason is Reason.MISSING else refused.reason.value
        raise ValueError(f"{path}: {why}: {refused.value}") from refused


def decode_photo(data: bytes, name: str) -> np.ndarray:
    """``read_photo`` for a photo's bytes; accepts what ``ingest`` accepts, and calls it ``name``."""
    try:
        probe_bytes(data)
    except Refused as refused:
        raise ValueError(f"{name}: {refused.reason.value}: {refused.value}") from refused
    return decode_rgb(data, name, upright=True)
