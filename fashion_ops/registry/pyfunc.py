"""The registered model as MLflow loads it: a pyfunc made from this file, weights as artifacts.

Input: one row a photo, column ``image`` with the encoded bytes (base64 text over HTTP, which MLflow
decodes). Output: one row a photo, column ``garments`` with the JSON of its garments.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from fashion_ops.inference.predictor import Predictor, decode_photo


class GarmentLandmarks(PythonModel):
    """Photos in, garments with named landmarks out."""

    def load_context(self, context: PythonModelContext) -> None:
        self.predictor = Predictor.load(Path(context.artifacts["bundle"]))

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Garments of each photo; ``params`` may hold ``min_score``."""
        min_score = float((params or {}).get("min_score", 0.3))
        answers = []
        for index, data in enumerate(model_input["image"]):
            garments = self.predictor.predict(decode_photo(data, f"row {index}"), min_score)
            answers.append(json.dumps([g.to_json() for g in garments]))
        return pd.DataFrame({"garments": answers})


set_model(GarmentLandmarks())
