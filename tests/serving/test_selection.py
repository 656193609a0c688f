"""What a real predictor, untrained, sees in photos: each garment's uncertainty by its heatmaps."""

from fashion_ops.inference.selection import see


def test_a_model_without_deviations_is_unsure_by_its_heatmaps(predictor, photos):
    decoded = [predictor.decode(photo, "x") for photo in photos]
    for seen, garments in zip(
        see(predictor, decoded, 0.0), predictor.predict_many(decoded, 0.0), strict=True
    ):
        assert len(seen.garments) == len(garments)
        assert len(seen.uncertainty) == max(len(garments), 1) == len(seen.embeddings)
        assert all(u > 0 for u in seen.uncertainty) == bool(garments)
    assert any(garments for garments in predictor.predict_many(decoded, 0.0))
