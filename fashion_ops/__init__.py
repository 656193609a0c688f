"""fashion-ops: train, evaluate and promote garment-landmark models.

From Python::

    import fashion_ops

    model = fashion_ops.load("models:/garment-landmarks@champion")  # or a folder of models
    for garment in model.predict("photo.jpg"):
        print(garment.category, garment.score, garment.landmarks["left_cuff_outer"])

Threads of OpenMP wait asleep in every process that imports this before torch: spinning ones take the
processor from each other wherever something else runs beside them. ``OMP_WAIT_POLICY=active`` in the
environment brings them back. No result depends on it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # OpenMP reads it once, when torch loads it

if TYPE_CHECKING:
    from fashion_ops.inference.predictor import Predictor

__version__ = "0.1.0"


def load(source: str | Path = "models:/garment-landmarks@champion", device: str = "auto") -> Predictor:
    """Load a predictor from the registry or from a folder.

    Args:
        source: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, or a folder with detector/,
            postprocess/, landmarker/, finetuned/ and refined/ like the pipeline's ``models``.
        device: ``auto`` (CUDA where this process sees a GPU, else the CPU), ``cpu`` or ``cuda``.

    Raises:
        FileNotFoundError: no such model; the message names what is missing.
        ServiceError: the registry does not answer.
        ValueError: ``cuda`` where this process sees no GPU.
    """
    if str(source).startswith("models:/"):
        from fashion_ops.registry.client import fetch_bundle

        source = fetch_bundle(str(source))
    from fashion_ops.inference.predictor import Predictor
    from fashion_ops.methods.parts.device import select_device

    return Predictor.load(Path(source), select_device(device))
