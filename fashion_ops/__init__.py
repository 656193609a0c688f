"""fashion-ops: train, evaluate and promote garment-landmark models.

From Python::

    import fashion_ops

    model = fashion_ops.load("models:/garment-landmarks@champion")  # or a folder of models
    for garment in model.predict("photo.jpg"):
        print(garment.category, garment.score, garment.landmarks)

Threads of OpenMP that wait spin for a tenth of their usual time, then sleep, in every process that
imports this before torch. Longer spinning takes the processor from whatever else runs beside them;
without any, waking a thread costs more than many a loop. ``OMP_WAIT_POLICY=active`` or another
``GOMP_SPINCOUNT`` in the environment wins. No result depends on it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fashion_ops.shipped import SHIPPED, shipped_models

if os.environ.setdefault("OMP_WAIT_POLICY", "passive").lower() != "active":
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")  # OpenMP reads both once, when torch loads it

if TYPE_CHECKING:
    from fashion_ops.inference.alignment_predictor import AlignmentPredictor
    from fashion_ops.inference.predictor import Predictor

__version__ = "0.1.0"

CHAMPION_URI = "models:/garment-landmarks@champion"  # what loads where nothing else is named


def load(source: str | Path = CHAMPION_URI, device: str = "auto") -> Predictor | AlignmentPredictor:
    """Load a predictor from the registry or from a folder.

    Args:
        source: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, ``shipped`` for the models in the
            package, or a folder with detector/, postprocess/, landmarker/, finetuned/ and refined/ like
            the pipeline's ``models``; for an alignment model ``models/dfa`` or ``models/gle``.
        device: ``auto`` (CUDA where this process sees a GPU, else the CPU), ``cpu`` or ``cuda``.

    Raises:
        FileNotFoundError: no such model; the message names what is missing.
        ServiceError: the registry does not answer.
        ValueError: ``cuda`` where this process sees no GPU.
    """
    if str(source).startswith("models:/"):
        from fashion_ops.registry.client import fetch_bundle

        source = fetch_bundle(str(source))
    elif str(source) == SHIPPED:
        source = shipped_models()
    from fashion_ops.inference.alignment_predictor import load_bundle
    from fashion_ops.methods.parts.device import select_device

    return load_bundle(Path(source), select_device(device))
