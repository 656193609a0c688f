"""fashion-ops: train, evaluate and promote garment-landmark models.

From Python::

    import fashion_ops

    model = fashion_ops.load("models:/garment-landmarks@champion")  # or a folder of models
    for garment in model.predict("photo.jpg"):
        print(garment.category, garment.score, garment.landmarks["left_cuff_outer"])
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fashion_ops.inference.predictor import Predictor

__version__ = "0.1.0"


def load(source: str | Path = "models:/garment-landmarks@champion", device: str = "cpu") -> Predictor:
    """Load a predictor from the registry or from a folder.

    Args:
        source: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, or a folder with detector/,
            postprocess/, landmarker/, finetuned/ and refined/ like the pipeline's ``models``.
        device: torch device.

    Raises:
        FileNotFoundError: no such model; the message names what is missing.
    """
    from fashion_ops.inference.predictor import Predictor

    if str(source).startswith("models:/"):
        from fashion_ops.registry.client import fetch_bundle

        source = fetch_bundle(str(source))
    return Predictor.load(Path(source), device)
