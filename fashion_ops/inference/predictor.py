"""All models of a bundle as one object: from a photo to garments with named landmarks.

A bundle is a folder with ``detector``, ``postprocess``, ``landmarker``, ``finetuned/CATEGORY``,
``refined/CATEGORY`` and, where the boxes come from Cascade R-CNN or HTC, ``box_detector``. The
``models`` folder of the pipeline is a bundle, and so is a registered model. The shipped bundle has no
models for single categories, and says so in ``landmarker/variants.json``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fashion_ops.catalog.images import probe_bytes, read_image
from fashion_ops.catalog.quarantine import Refused
from fashion_ops.catalog.reader import decode_rgb
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.methods.centernet.deploy.photo import Photo, decode_reduced, refused_photo
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.centernet.postprocess_file import MIN_SCORE, read_postprocess, read_threshold
from fashion_ops.methods.detection.inference import BoxDetector, holds_detector
from fashion_ops.methods.detection.sources import GarmentBox, GarmentDetector
from fashion_ops.methods.parts.blocks import Bundle
from fashion_ops.methods.parts.device import select_device
from fashion_ops.taxonomy import category

PARTS = ("detector", "postprocess", "box_detector", "landmarker", "finetuned", "refined")


@dataclass(frozen=True)
class Garment:
    """One garment in a photo.

    ``box`` is (x1, y1, x2, y2), ``landmarks`` maps a name to (x, y, score), and ``deviations`` to the
    standard deviation in each direction; in pixels of the photo. Models without a shape prior give no
    deviations. The landmarks of an alignment model are those of ``clothes_type`` (upper, lower, full),
    and ``visibility`` says of each whether it is visible, occluded or cut off, if the model predicts
    that.
    """

    category: str
    score: float
    box: tuple[float, float, float, float]
    landmarks: dict[str, tuple[float, float, float]]
    deviations: dict[str, float] = field(default_factory=dict)
    clothes_type: str | None = None
    visibility: dict[str, str] | None = None

    @classmethod
    def of(
        cls,
        detection: GarmentBox,
        landmarks: np.ndarray,
        photo: Photo | None = None,
        deviations: np.ndarray | None = None,
    ) -> "Garment":
        """Make a garment from a detection, its landmarks (n, 3) x, y, score, and their deviations (n,).

        They are in pixels of the whole photo or, if ``photo`` is given, of ``photo.pixels``, which may
        be a part of it. No deviations, or an empty array: there is no shape prior.
        """
        box, spread = detection.box, np.zeros(0) if deviations is None else deviations
        if photo is not None and (photo.factor > 1 or any(photo.shift)):
            box = photo.inside(box)
            landmarks = np.column_stack([photo.to_photo(landmarks[:, :2]), landmarks[:, 2:]])
            spread = spread * photo.factor
        kind = category(detection.category_id)
        named = zip(kind.landmark_names, map(tuple, landmarks.tolist()), strict=True)
        x1, y1, x2, y2 = box.tolist()
        stds = zip(kind.landmark_names, spread.tolist(), strict=True) if len(spread) else ()
        return cls(kind.name, float(detection.score), (x1, y1, x2, y2), dict(named), dict(stds))

    def to_json(self) -> dict[str, Any]:
        """Convert to plain values for JSON, coordinates rounded to a hundredth of a pixel."""
        landmarks: dict[str, dict[str, Any]] = {
            name: {"x": round(x, 2), "y": round(y, 2), "score": round(s, 4)}
            for name, (x, y, s) in self.landmarks.items()
        }
        for name, spread in self.deviations.items():
            landmarks[name]["deviation"] = round(spread, 2)
        for name, state in (self.visibility or {}).items():
            landmarks[name]["visibility"] = state
        return {
            "category": self.category,
            **({"clothes_type": self.clothes_type} if self.clothes_type else {}),
            "score": round(self.score, 4),
            "box": [round(v, 2) for v in self.box],
            "landmarks": landmarks,
        }


@dataclass(frozen=True)
class Predictor:
    """A detector and the landmark pipeline that runs in its boxes.

    Attributes:
        detector: finds the boxes.
        pipeline: its landmarks.
        min_score: garments with a lower score are left out, unless a caller names another.
    """

    detector: GarmentDetector
    pipeline: LandmarkPipeline
    min_score: float = MIN_SCORE

    @classmethod
    def load(cls, bundle: Path, device: torch.device | None = None) -> "Predictor":
        """Load a bundle. Boxes come from its ``box_detector`` if it holds one, else from CenterNet.

        Args:
            bundle: folder of the models.
            device: where all networks run. None is for versions whose registered code names none: CUDA
                where this process sees a GPU.

        Raises:
            FileNotFoundError: a model is missing; names the folder.
            ValueError: a model is of another method, or does not match the universal landmarker.
        """
        device = device or select_device("auto")
        detector = load_detector(bundle, device)
        return cls(detector, LandmarkPipeline.load(bundle, device), threshold_of(bundle))

    def predict(
        self,
        image: np.ndarray | str | Path | Photo,
        min_score: float | None = None,
        variant: str | None = None,
    ) -> list[Garment]:
        """Find the garments of one photo, best first, in pixels of the whole photo.

        Args:
            image: RGB uint8 (H, W, 3), a decoded photo, or the path of one.
            min_score: garments with a lower score are left out; None takes the predictor's.
            variant: ``refined``, ``finetuned`` or ``universal`` landmarks; None takes the first of them
                that there are models for.

        Raises:
            ValueError: the file is missing or not an image, or the array has another shape or type.
        """
        photo = load_photo(Path(image)) if isinstance(image, str | Path) else image
        return self.predict_many([photo], min_score, variant)[0]

    def predict_many(
        self,
        photos: Sequence[np.ndarray | Photo],
        min_score: float | None = None,
        variant: str | None = None,
    ) -> list[list[Garment]]:
        """Find the garments of several photos, each as ``predict`` does, in fewer network calls.

        On a CPU the numbers may differ from those of one photo at a time by rounding.

        Args:
            photos: RGB uint8 (H, W, 3), or decoded photos.
            min_score: garments with a lower score are left out; None takes the predictor's.
            variant: ``refined``, ``finetuned`` or ``universal`` landmarks; None takes the first of them
                that there are models for.

        Raises:
            ValueError: an array has another shape or type, or there is no such variant.
        """
        least = self.min_score if min_score is None else min_score
        variant = variant or self.pipeline.variants[-1]
        if variant not in self.pipeline.variants:
            have = ", ".join(self.pipeline.variants)
            raise ValueError(f"variant {variant!r}: these models have {have} landmarks")
        images, found = detect_garments(self.detector, photos, least)
        garments: list[list[Garment]] = [[] for _ in photos]
        if not found:
            return garments
        predictions = self.pipeline.predict(
            lambda number: images[number],
            np.array([number for number, _ in found]),
            np.stack([d.box for _, d in found]),
            np.array([d.category_id for _, d in found]),
            (variant,),
        )
        of_variant = predictions[variant]
        for (number, d), pose, spread in zip(
            found, of_variant.landmarks, of_variant.deviations, strict=True
        ):
            whole = photos[number]
            photo = whole if isinstance(whole, Photo) else None
            garments[number].append(Garment.of(d, pose, photo, spread))
        return garments

    def detect_many(
        self, photos: Sequence[np.ndarray | Photo], min_score: float | None = None
    ) -> list[list[Garment]]:
        """Find the garments of several photos as ``predict_many`` does, but not their landmarks.

        Args:
            photos: RGB uint8 (H, W, 3), or decoded photos.
            min_score: garments with a lower score are left out; None takes the predictor's.

        Raises:
            ValueError: an array has another shape or type.
        """
        garments: list[list[Garment]] = [[] for _ in photos]
        least = self.min_score if min_score is None else min_score
        for number, d in detect_garments(self.detector, photos, least)[1]:
            box = d.box if isinstance(photo := photos[number], np.ndarray) else photo.inside(d.box)
            x1, y1, x2, y2 = box.tolist()
            kind = category(d.category_id).name
            garments[number].append(Garment(kind, float(d.score), (x1, y1, x2, y2), {}))
        return garments

    def decode(self, data: bytes, name: str) -> Photo:
        """Decode a photo for ``predict_many``; raises as ``decode_reduced`` does."""
        return decode_reduced(data, name)


def load_detector(bundle: Path, device: torch.device) -> GarmentDetector:
    """Load what finds the garments: the ``box_detector`` of a bundle if it holds one, else CenterNet.

    Raises:
        FileNotFoundError: a model is missing; names the folder.
        ValueError: a model is of another method.
    """
    if holds_detector(bundle / "box_detector"):
        return BoxDetector.load(bundle / "box_detector", device)
    detector = Detector.load(bundle / "detector", device)
    detector = detector.with_post(read_postprocess(bundle / "postprocess"))
    return detector.without_landmark_scores()


def threshold_of(bundle: Path) -> float:
    """The score from which on a bundle's garments are reported; of CenterNet's, if one was chosen.

    Raises:
        ValueError: the file of the threshold holds no score.
    """
    of_boxes = holds_detector(bundle / "box_detector")
    return MIN_SCORE if of_boxes else read_threshold(bundle / "postprocess")


def detect_garments(
    detector: GarmentDetector, photos: Sequence[np.ndarray | Photo], min_score: float
) -> tuple[list[np.ndarray], list[tuple[int, GarmentBox]]]:
    """Find the garments of several photos.

    Returns:
        The pixels of each photo; and of each garment with at least ``min_score`` the number of its
        photo, from 0, and its box.

    Raises:
        ValueError: an array has another shape or type than RGB uint8 (H, W, 3).
    """
    images = [photo.pixels if isinstance(photo, Photo) else photo for photo in photos]
    for pixels in images:
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise ValueError(
                f"expected RGB uint8 of shape (H, W, 3), got {pixels.dtype} {tuple(pixels.shape)}"
            )
    found = [
        (number, d)
        for number, detections in enumerate(detector.detect(images))
        for d in detections
        if d.score >= min_score
    ]
    return images, found


class Predictors(Sequence[Predictor]):
    """The predictors of several bundles, each loaded when it is taken for the first time."""

    def __init__(self, folders: Sequence[Path], device: torch.device) -> None:
        self._folders, self._device = folders, device
        self._loaded: dict[int, Predictor] = {}

    def __len__(self) -> int:
        return len(self._folders)

    def __getitem__(self, index: Any) -> Any:
        if index not in self._loaded:
            self._loaded[index] = Predictor.load(self._folders[index], self._device)
        return self._loaded[index]


def bundle_of(folder: Path) -> Bundle:
    """The parts of a folder that a predictor needs; a missing one is named when it is loaded."""
    return Bundle(folder, tuple(part for part in PARTS if (folder / part).is_dir()))


def load_photo(path: Path) -> Photo:
    """Read a photo, turned upright by its EXIF orientation; a very large JPEG at a reduced size.

    Raises:
        ValueError: missing, not an image, cut off or too large; names the file.
    """
    return decode_reduced(photo_bytes(path), str(path))


def photo_bytes(path: Path) -> bytes:
    """Read the file of a photo.

    Raises:
        ValueError: missing, or larger than ``ingest`` accepts; names the file.
    """
    try:
        return read_image(path)
    except Refused as refused:
        raise refused_photo(str(path), refused) from refused


def decode_photo(data: bytes, name: str) -> np.ndarray:
    """Decode the bytes of a photo to RGB uint8 (H, W, 3), turned upright by its EXIF orientation.

    It accepts the images that ``ingest`` accepts.

    Raises:
        ValueError: not an image, cut off or too large; the message starts with ``name``.
    """
    try:
        probe_bytes(data)
    except Refused as refused:
        raise refused_photo(name, refused) from refused
    return decode_rgb(data, name, upright=True)
