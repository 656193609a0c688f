"""All models of a bundle as one object: photo in, garments with named landmarks out.

A bundle is a folder with ``detector``, ``postprocess``, ``landmarker``, ``finetuned/CATEGORY``,
``refined/CATEGORY`` and, where the boxes are Cascade R-CNN's or HTC's, ``box_detector``; the pipeline's
``models`` folder is one, and so is a registered model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from fashion_ops.catalog.images import probe_bytes, read_image
from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.catalog.reader import decode_rgb
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.centernet.postprocess_file import read_postprocess
from fashion_ops.methods.detection.inference import BoxDetector, holds_detector
from fashion_ops.methods.detection.sources import GarmentDetector
from fashion_ops.methods.parts.crops import cut_crops, invert_matrices, to_image
from fashion_ops.methods.posefix.inference import Refiner
from fashion_ops.methods.top_down.decode import pose_score
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.taxonomy import CATEGORIES, category

VARIANTS = ("universal", "finetuned", "refined")
Landmarks = list[np.ndarray]


class Poses(NamedTuple):
    """Landmarks (num_landmarks, 3) x, y, score of N garments, and a score of each as a whole (N,)."""

    landmarks: Landmarks
    scores: np.ndarray


def average(sets: Sequence[Poses]) -> Poses:
    """An ensemble: the mean of several model sets' landmarks and scores of the same garments."""
    landmarks = [np.mean(poses, 0) for poses in zip(*(s.landmarks for s in sets), strict=True)]
    return Poses(landmarks, np.mean([s.scores for s in sets], 0))


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
class LandmarkPipeline:
    """Universal landmarker, the finetuned ones and the refiners, run in that order on one crop each."""

    universal: LandmarkPredictor
    finetuned: dict[int, LandmarkPredictor]
    refined: dict[int, Refiner]

    @classmethod
    def load(
        cls, bundle: Path, device: str = "cpu", rows: tuple[str, ...] = VARIANTS
    ) -> "LandmarkPipeline":
        """Read those landmark models of a bundle that these rows need; every category must be there.

        Raises:
            FileNotFoundError: a part is missing; names the folder.
            ValueError: a model was made for other crops or another grouping than the universal one.
        """
        universal = LandmarkPredictor.load(bundle / "landmarker", device)
        finetuned, refined = {}, {}
        for c in CATEGORIES:
            if {"finetuned", "refined"} & set(rows):
                folder = bundle / "finetuned" / c.name
                finetuned[c.id] = LandmarkPredictor.load(folder, device)
                _check_follows(folder, finetuned[c.id].spec, universal.spec, c.name)
            if "refined" in rows:
                folder = bundle / "refined" / c.name
                refined[c.id] = Refiner.load(folder, device)
                _check_follows(folder, refined[c.id].spec, universal.spec, c.name)
        return cls(universal, finetuned, refined)

    def predict(
        self,
        read_image: Callable[[int], np.ndarray],
        image_ids: np.ndarray,
        boxes: np.ndarray,
        category_ids: np.ndarray,
        rows: tuple[str, ...] = VARIANTS,
        score: str = "own",
    ) -> dict[str, Poses]:
        """Landmarks in image pixels and a score for every garment, by row.

        Args:
            read_image: image id to RGB uint8.
            image_ids: (N,) image of each garment; equal ids should stand together.
            boxes: (N, 4) x1, y1, x2, y2.
            category_ids: (N,) 1..13.
            rows: which of ``VARIANTS`` to return.
            score: whose peaks count, ``own`` (the category's landmarks) or ``all`` (every channel). A
                refiner has none of its own: its garments keep those that it was given.
        """
        matrices = self.universal.matrices(boxes)
        crops = cut_crops(read_image, image_ids, matrices, self.universal.crop)
        found = {row: Poses([np.empty(0)] * len(boxes), np.zeros(len(boxes))) for row in rows}

        def land(row: str, at: np.ndarray, poses: Landmarks, scores: np.ndarray) -> None:
            if row in found:
                found[row].scores[at] = scores
                for place, pose in zip(at, poses, strict=True):
                    found[row].landmarks[place] = pose

        if "universal" in rows:
            land("universal", np.arange(len(boxes)), *_read(self.universal, crops, category_ids, score))
        if {"finetuned", "refined"} & set(rows):
            for c in np.unique(category_ids):
                own = np.flatnonzero(category_ids == c)
                own_crops = crops[own]
                poses, scores = _read(self.finetuned[int(c)], own_crops, category_ids[own], score)
                land("finetuned", own, poses, scores)
                if "refined" in rows:
                    refined = self.refined[int(c)].refine(own_crops, torch.from_numpy(np.stack(poses)))
                    land("refined", own, list(refined.cpu().numpy()), scores)
        inverse = invert_matrices(matrices)
        return {
            row: Poses(
                [to_image(pose, m) for pose, m in zip(poses.landmarks, inverse, strict=True)],
                poses.scores,
            )
            for row, poses in found.items()
        }


def _read(model: LandmarkPredictor, crops: torch.Tensor, category_ids: np.ndarray, score: str) -> Poses:
    """Landmarks in crop pixels, and their garments' scores."""
    channels = model.predict_channels(crops, category_ids)
    poses = [model.grouping.ungroup(int(c), k) for c, k in zip(category_ids, channels, strict=True)]
    judged = poses if score == "own" else channels
    return Poses(poses, np.array([pose_score(pose) for pose in judged]))


def _check_follows(
    folder: Path, spec: dict[str, Any], universal: dict[str, Any], category_name: str
) -> None:
    """A category's model is given the universal one's crops, and its channels."""
    for name in ("crop", "padding", "grouping"):
        own, wanted = spec.get(name), universal[name]
        if own not in (None, wanted) and (name, own) != ("grouping", category_name):
            raise ValueError(f"{folder}: made for {name} {own}, the landmarker beside it has {wanted}")


@dataclass(frozen=True)
class Predictor:
    """Detector and landmark cascade together."""

    detector: GarmentDetector
    pipeline: LandmarkPipeline

    @classmethod
    def load(cls, bundle: Path, device: str = "cpu") -> "Predictor":
        """Read a bundle. The boxes are those of its ``box_detector`` if it holds one, else CenterNet's.

        Raises:
            FileNotFoundError: a part is missing; names the folder.
        """
        if holds_detector(bundle / "box_detector"):
            boxes = BoxDetector.load(bundle / "box_detector", device)
            return cls(boxes, LandmarkPipeline.load(bundle, device))
        detector = Detector.load(bundle / "detector", device)
        detector = detector.with_post(read_postprocess(bundle / "postprocess"))
        return cls(detector.without_landmark_scores(), LandmarkPipeline.load(bundle, device))

    def predict(
        self, image: np.ndarray | str | Path, min_score: float = 0.3, row: str = "refined"
    ) -> list[Garment]:
        """Garments of one photo, best first.

        Args:
            image: RGB uint8 (H, W, 3), or the path of a photo.
            min_score: garments below are left out.
            row: ``refined``, ``finetuned`` or ``universal``.

        Raises:
            ValueError: the file is no image, or the array has another shape or type.
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
        poses = self.pipeline.predict(lambda _: pixels, np.zeros(len(found)), boxes, ids, (row,))[
            row
        ].landmarks
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
        ValueError: missing, not an image, cut off or too large; names the file.
    """
    return decode_photo(photo_bytes(path), str(path))


def photo_bytes(path: Path) -> bytes:
    """A photo's file, unless it is larger than ``ingest`` would take.

    Raises:
        ValueError: missing or too large; names the file.
    """
    try:
        return read_image(path)
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
