"""An alignment model as one object: from a photo to garments with FLD's landmarks.

A detector finds the garments; their category says whether they are upper, lower or full-body clothes,
and so which of the eight landmarks they have. DFA or GLE predicts these in the detector's boxes.

A bundle is a folder with ``dfa`` or ``gle``, and ``detector`` and ``postprocess`` or ``box_detector``.
The folder ``models/dfa`` or ``models/gle`` of a workspace stands for itself and the detector beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from fashion_ops.errors.reading import read_object
from fashion_ops.inference.predictor import (
    Garment,
    Photo,
    Predictor,
    detect_garments,
    load_detector,
    load_photo,
    threshold_of,
)
from fashion_ops.methods.alignment.dfa.cascade import Cascade, kinds_in
from fashion_ops.methods.alignment.gle.inference import METHOD as GLE
from fashion_ops.methods.alignment.gle.inference import GLEPredictor
from fashion_ops.methods.alignment.prediction import (
    AlignmentMethod,
    PredictedLandmarks,
    people_only,
)
from fashion_ops.methods.artifact import SPEC
from fashion_ops.methods.centernet.deploy.graph import GRAPH
from fashion_ops.methods.centernet.deploy.photo import decode_reduced
from fashion_ops.methods.centernet.postprocess_file import MIN_SCORE
from fashion_ops.methods.detection.sources import GarmentBox, GarmentDetector
from fashion_ops.taxonomy import category
from fashion_ops.taxonomy.alignment import CLOTHES_TYPES, points_of_type, type_of_category

PARTS = ("dfa", "gle")  # of a bundle
_SMALLEST = 2.0  # pixels: side of a box that a crop can be cut from


@dataclass(frozen=True)
class AlignmentFolder:
    """Where an alignment model lies.

    Attributes:
        method: ``dfa`` or ``gle``.
        model: folder of the stages of DFA, or of the model of GLE.
        boxes: bundle with the detector.
    """

    method: str
    model: Path
    boxes: Path

    @classmethod
    def find(cls, folder: Path) -> "AlignmentFolder | None":
        """The alignment model of a bundle, or that is a folder; None if there is none.

        A bundle with a landmarker is that of a ``Predictor``, whatever else it holds.
        """
        beside = folder.resolve().parent
        if (folder / GRAPH).is_file():  # an export, whatever it is of
            return None
        if kinds_in(folder):
            return cls("dfa", folder, beside)
        if (folder / SPEC).is_file():
            is_gle = read_object(folder / SPEC).get("method") == GLE
            return cls(GLE, folder, beside) if is_gle else None
        if (folder / "landmarker").is_dir():
            return None
        return next((cls(p, folder / p, folder) for p in PARTS if (folder / p).is_dir()), None)

    def with_detector_of(self, models: Path) -> "AlignmentFolder":
        """The same with the detector of ``models``, if there is none where this one lies."""
        if any((self.boxes / part).is_dir() for part in ("detector", "box_detector")):
            return self
        return replace(self, boxes=models)

    def load(self, device: torch.device) -> AlignmentMethod:
        """Load the model, without a detector.

        Raises:
            FileNotFoundError: a model is missing.
            ValueError: a model is of another method, or was trained on people.
        """
        if self.method != GLE:
            return Cascade.load(self.model, device)
        predictor = GLEPredictor.load(self.model, device)
        if predictor.spec["points"] != "fld8":
            raise people_only(self.model)
        return predictor


@dataclass(frozen=True)
class AlignmentPredictor:
    """A detector, and the alignment method that runs in its boxes.

    Attributes:
        detector: finds the boxes.
        method: its landmarks.
        min_score: garments with a lower score are left out, unless a caller names another.
    """

    detector: GarmentDetector
    method: AlignmentMethod
    min_score: float = MIN_SCORE

    @classmethod
    def load(cls, folder: AlignmentFolder, device: torch.device) -> "AlignmentPredictor":
        """Load the model and its detector onto ``device``.

        Raises:
            FileNotFoundError: a model is missing; names the folder.
            ValueError: a model is of another method, or was trained on people.
        """
        method = folder.load(device)
        return cls(load_detector(folder.boxes, device), method, threshold_of(folder.boxes))

    def predict(
        self, image: np.ndarray | str | Path | Photo, min_score: float | None = None
    ) -> list[Garment]:
        """Find the garments of one photo, best first, as ``Predictor.predict`` does."""
        photo = load_photo(Path(image)) if isinstance(image, str | Path) else image
        return self.predict_many([photo], min_score)[0]

    def predict_many(
        self, photos: Sequence[np.ndarray | Photo], min_score: float | None = None
    ) -> list[list[Garment]]:
        """Find the garments of several photos, as ``Predictor.predict_many`` does."""
        least = self.min_score if min_score is None else min_score
        images, found = detect_garments(self.detector, photos, least)
        garments: list[list[Garment]] = [[] for _ in photos]
        if not found:
            return garments
        boxes = np.stack([d.box for _, d in found]).astype(np.float64)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + _SMALLEST)
        predictions = self.method.predict_garments(
            lambda number: images[number],
            np.array([number for number, _ in found]),
            boxes,
            np.array([type_of_category(d.category_id) for _, d in found]),
        )
        for (number, d), prediction in zip(found, predictions, strict=True):
            garments[number].append(_garment(d, prediction, photos[number]))
        return garments

    def decode(self, data: bytes, name: str) -> Photo:
        """Decode a photo for ``predict_many``; raises as ``decode_reduced`` does."""
        return decode_reduced(data, name)


AnyPredictor = Predictor | AlignmentPredictor


def load_bundle(bundle: Path, device: torch.device) -> AnyPredictor:
    """Load what a bundle holds: the landmark pipeline, or an alignment model; raises as these do."""
    alignment = AlignmentFolder.find(bundle)
    if alignment is not None:
        return AlignmentPredictor.load(alignment, device)
    return Predictor.load(bundle, device)


def _garment(
    detection: GarmentBox, prediction: PredictedLandmarks, photo: np.ndarray | Photo
) -> Garment:
    """A garment in pixels of the whole photo from what was found in ``photo``."""
    box, landmarks = detection.box, prediction.landmarks
    if isinstance(photo, Photo) and (photo.factor > 1 or any(photo.shift)):
        box = photo.inside(box)
        landmarks = np.column_stack([photo.to_photo(landmarks[:, :2]), landmarks[:, 2:]])
    code = type_of_category(detection.category_id)
    names = points_of_type(code).point_names
    x1, y1, x2, y2 = box.tolist()
    visibility: dict[str, str] | None = None
    if prediction.states:
        visibility = dict(zip(names, prediction.states, strict=True))
    return Garment(
        category(detection.category_id).name,
        float(detection.score),
        (x1, y1, x2, y2),
        dict(zip(names, map(tuple, landmarks.tolist()), strict=True)),
        clothes_type=CLOTHES_TYPES[code - 1],
        visibility=visibility,
    )
