"""The registered model as an MLflow pyfunc; MLflow stores this file as its code.

Input: one row per photo, column ``image`` with the encoded bytes (base64 text over HTTP, which MLflow
decodes). Output: one row per photo, column ``garments`` with its garments as JSON.

``model_config={"device": "cpu"}`` of ``mlflow.pyfunc.load_model`` selects where the networks run:
``auto`` (CUDA where the process sees a GPU), ``cpu`` or ``cuda``. A server sees no GPU if its
environment has an empty ``CUDA_VISIBLE_DEVICES``.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from fashion_ops.inference.alignment_predictor import load_bundle
from fashion_ops.methods.centernet.deploy.photo import decode_reduced
from fashion_ops.methods.parts.device import select_device


class GarmentLandmarks(PythonModel):
    """Predicts the garments of photos, with named landmarks."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the models; MLflow calls this once, before ``predict``."""
        setting = (context.model_config or {}).get("device", "auto")
        self.predictor = load_bundle(Path(context.artifacts["bundle"]), select_device(setting))

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Predict the garments of each photo.

        Args:
            context: not used.
            model_input: one row per photo; column ``image`` has its encoded bytes.
            params: ``min_score`` is the lowest score of a garment, from 0 to 1; without it the one that
                is stored with the models.

        Returns:
            One row per photo; column ``garments`` has a JSON list of its garments.
        """
        given = (params or {}).get("min_score")
        min_score = None if given is None else float(given)
        rows = []
        for index, data in enumerate(model_input["image"]):
            garments = self.predictor.predict(decode_reduced(data, f"row {index}"), min_score)
            rows.append(json.dumps([g.to_json() for g in garments]))
        return pd.DataFrame({"garments": rows})


set_model(GarmentLandmarks())
