"""What a real predictor, untrained, sees in photos: each garment's uncertainty by its heatmaps."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fashion_ops.inference.selection import crop_uncertainty, peak_uncertainty, see
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.crops import cut
from fashion_ops.methods.top_down.decode import activate
from fashion_ops.methods.top_down.inference import BATCH, build
from fashion_ops.taxonomy import category


@pytest.mark.parametrize("head", ["simcc", "rle"])
def test_a_head_without_heatmaps_is_unsure_by_its_deviations(predictor, head):
    heatmaps = predictor.pipeline.universal
    spec = {**heatmaps.spec, "head": head}
    torch.manual_seed(0)
    landmarker = replace(heatmaps, model=build(spec).eval(), spec=spec)
    crops = torch.randint(0, 255, (2, 3, *landmarker.crop[::-1]), dtype=torch.uint8)
    ids = np.array([1, 9])
    channels = landmarker.predict_channels_and_stds(crops, ids)
    expected = [
        landmarker.landmark_stds(channels[i, landmarker.grouping.channels(c)]).mean()
        for i, c in enumerate(ids)
    ]
    assert expected[0] != pytest.approx(expected[1])
    unsure = crop_uncertainty(landmarker, crops, ids)
    assert unsure == pytest.approx(np.array(expected) / max(landmarker.crop))


def test_a_model_without_deviations_is_unsure_by_the_heatmaps_of_its_own_channels(predictor, photos):
    """All garments of all photos go through the network together."""
    decoded = [predictor.decode(photo, "x") for photo in photos]
    landmarker = predictor.pipeline.universal
    found = predictor.predict_many(decoded, 0.0)
    assert sum(map(bool, found)) > 1 and len({g.category for garments in found for g in garments}) > 1
    sizes, network = [], landmarker.model
    hook = network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    seen = list(see(predictor, decoded, 0.0))
    hook.remove()
    assert sizes[-2:] == [BATCH, sum(map(len, found)) - BATCH]
    for photo, garments, of_photo in zip(decoded, found, seen, strict=True):
        assert len(of_photo.garments) == len(garments)
        assert len(of_photo.embeddings) == max(len(garments), 1)
        expected = [_by_hand(landmarker, photo, garment) for garment in garments] or [np.nan]
        assert of_photo.uncertainty == pytest.approx(expected, rel=1e-4, nan_ok=True)


@torch.inference_mode()
def _by_hand(landmarker, photo, garment):
    box = photo.to_pixels(np.array(garment.box, np.float32).reshape(2, 2)).reshape(1, 4)
    crop = cut(photo.pixels, landmarker.matrices(box)[0], landmarker.crop)
    batch = normalize(torch.from_numpy(crop.transpose(2, 0, 1).copy())[None].float() / 255)
    heat = activate(landmarker.model(batch), **landmarker.spec["heatmap"])
    channels = landmarker.grouping.channels(category(garment.category).id)
    return float(peak_uncertainty(heat[:, channels]).mean())
