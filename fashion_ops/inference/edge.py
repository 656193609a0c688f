"""Prediction on the edge: one detector by itself, with its own landmarks, one pass over each photo.

The detector is an exported folder in ONNX Runtime or OpenVINO, or a trained detector in torch. A large
JPEG is decoded no larger than the network needs; coordinates are those of the whole photo.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from fashion_ops.inference.predictor import Garment, photo_bytes
from fashion_ops.methods.centernet.deploy.graph import GRAPH, Graph
from fashion_ops.methods.centernet.deploy.photo import Photo, decode_reduced
from fashion_ops.methods.centernet.deploy.runtimes import ExportedDetector
from fashion_ops.methods.centernet.inference import Detection, Detector
from fashion_ops.methods.centernet.postprocess_file import FILE, MIN_SCORE, read_postprocess
from fashion_ops.params import PostProcess

Runtime = Literal["torch", "onnx", "openvino"]


@dataclass(frozen=True)
class EdgePredictor:
    """Predicts garments with a single detector and the landmarks that it predicts itself.

    Attributes:
        detector: trained or exported.
        min_score: garments with a lower score are left out, unless a caller names another.
    """

    detector: Detector
    min_score: float = MIN_SCORE

    @classmethod
    def load(
        cls, folder: Path, runtime: Runtime, device: torch.device, threads: int = 0
    ) -> "EdgePredictor":
        """Read a detector.

        Args:
            folder: an exported folder or, for the runtime torch, one written by ``train_detector``.
            runtime: ``torch``, ``onnx`` or ``openvino``.
            device: where torch runs; the other runtimes run on the CPU.
            threads: CPU threads of the other runtimes; 0 uses all cores.

        Raises:
            FileNotFoundError: ``folder`` holds no such detector.
            ValueError: a file of it is invalid, or it is for another runtime.
        """
        if runtime != "torch":
            return cls(ExportedDetector.open(folder, runtime, threads=threads))
        if (folder / GRAPH).is_file():
            raise ValueError(
                f"{folder}: is an export for {Graph.read(folder).format}; torch runs the trained "
                "detector it was made from, for this one use --runtime onnx or openvino"
            )
        return cls(Detector.load(folder, device, edge_postprocess(folder)))

    def predict(
        self, photo: Path | bytes | np.ndarray | Photo, min_score: float | None = None
    ) -> list[Garment]:
        """Find the garments of one photo, best first.

        Args:
            photo: an image file or its bytes, turned upright by its EXIF orientation, or its pixels as
                RGB uint8 (H, W, 3), or a decoded photo.
            min_score: garments with a lower score are left out; None takes the predictor's.

        Raises:
            ValueError: the file is missing, not an image, cut off or too large; names the file.
        """
        if isinstance(photo, Photo):
            reduced = photo
        elif isinstance(photo, np.ndarray):
            reduced = Photo(photo, (photo.shape[1], photo.shape[0]))
        else:
            data = photo if isinstance(photo, bytes) else photo_bytes(photo)
            name = "photo" if isinstance(photo, bytes) else str(photo)
            reduced = self.decode(data, name)
        least = self.min_score if min_score is None else min_score
        return [Garment.of(d, d.landmarks) for d in detect_photo(self.detector, reduced, least)]

    def predict_many(
        self, photos: Sequence[Photo], min_score: float | None = None
    ) -> list[list[Garment]]:
        """Find the garments of several decoded photos, each as ``predict`` does."""
        return [self.predict(photo, min_score) for photo in photos]

    def decode(self, data: bytes, name: str) -> Photo:
        """Decode a photo at the size that the network needs; raises as ``decode_reduced`` does."""
        return decode_reduced(data, name, self.detector.spec["input_size"])


def edge_postprocess(detector: Path) -> PostProcess:
    """Post-processing of a detector on the edge.

    These are the values tuned for it (folder ``postprocess`` next to it) or, without them,
    DeepMark++'s. Flip and scales are off, as they would multiply the time.

    Args:
        detector: folder written by ``train_detector``.

    Raises:
        ValueError: the file with the tuned values is invalid.
    """
    tuned = detector.parent / "postprocess"
    post = read_postprocess(tuned) if (tuned / FILE).is_file() else PostProcess()
    return post.model_copy(update={"flip": False, "scales": ()})


def detect_photo(detector: Detector, photo: Photo, min_score: float) -> list[Detection]:
    """Detect the garments of a photo, best first, in pixels of the whole photo.

    Garments with a score below ``min_score`` are left out.
    """
    return [
        replace(
            d,
            box=photo.inside(d.box),
            landmarks=np.column_stack([photo.to_photo(d.landmarks[:, :2]), d.landmarks[:, 2:]]),
        )
        for d in detector.detect([photo.pixels], min_score)[0]
    ]
