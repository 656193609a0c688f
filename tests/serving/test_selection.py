"""What a real predictor, untrained, sees in photos: each garment's uncertainty by its heatmaps."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fashion_ops.inference.selection import crop_uncertainty, see
from fashion_ops.methods.top_down.inference import build


@pytest.mark.parametrize("head", ["simcc", "rle"])
def test_a_head_without_heatmaps_is_unsure_by_its_deviations(predictor, head):
    heatmaps = predictor.pipeline.universal
    spec = {**heatmaps.spec, "head": head}
    landmarker = replace(heatmaps, model=build(spec).eval(), spec=spec)
    crops = torch.randint(0, 255, (2, 3, *landmarker.crop[::-1]), dtype=torch.uint8)
    unsure = crop_uncertainty(landmarker, crops, np.array([1, 9]))
    assert unsure.shape == (2,) and (unsure > 0).all() and np.isfinite(unsure).all()


def test_a_model_without_deviations_is_unsure_by_its_heatmaps(predictor, photos):
    decoded = [predictor.decode(photo, "x") for photo in photos]
    for seen, garments in zip(
        see(predictor, decoded, 0.0), predictor.predict_many(decoded, 0.0), strict=True
    ):
        assert len(seen.garments) == len(garments)
        assert len(seen.uncertainty) == max(len(garments), 1) == len(seen.embeddings)
        assert all(u > 0 for u in seen.uncertainty) == bool(garments)
    assert any(garments for garments in predictor.predict_many(decoded, 0.0))
