"""A trained box detector: its folder, its order, its flips and scales."""

import numpy as np
import pytest
import torch
from detection_networks import SMALL_HTC_CONFIG, box_detector
from detection_wardrobe import Wardrobe

from fashion_ops.methods.detection.inference import BoxDetector
from fashion_ops.methods.detection.training import detector_spec, train_box_detector, untrained_model
from fashion_ops.methods.parts.device import CPU


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return Wardrobe(6, 64)


@pytest.fixture(scope="module")
def detector() -> BoxDetector:
    return box_detector()


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def test_a_trained_folder_detects_as_the_network_did(wardrobe, tmp_path):
    torch.manual_seed(0)
    config = SMALL_HTC_CONFIG
    model = untrained_model(config)
    history = train_box_detector(
        config, model, np.arange(6), wardrobe.garments, wardrobe.read, tmp_path, seed=0
    )
    assert len(history) == 1
    images = [wardrobe.read(i) for i in range(2)]
    before = BoxDetector(model.eval(), detector_spec(config)).detect(images)
    after = BoxDetector.load(tmp_path, CPU).detect(images)
    assert sum(map(len, before)) > 0
    for a, b in zip(before, after, strict=True):
        assert [x.score for x in a] == pytest.approx([x.score for x in b], abs=1e-5)
        assert [x.category_id for x in a] == [x.category_id for x in b]
        assert all(np.allclose(x.box, y.box, atol=1e-3) for x, y in zip(a, b, strict=True))
    with pytest.raises(FileNotFoundError, match="no model here"):
        BoxDetector.load(tmp_path / "nowhere", CPU)


def test_detections_are_sorted_inside_the_image_and_above_the_threshold(detector):
    images = [photo(70, 50), photo(30, 90, 1)]
    found = detector.detect(images, score_threshold=0.05)
    assert detector.detect([]) == []
    for image, own in zip(images, found, strict=True):
        assert len(own) > 1
        scores = [f.score for f in own]
        assert scores == sorted(scores, reverse=True)
        assert scores[-1] > 0.05
        boxes = np.stack([f.box for f in own])
        assert boxes.dtype == np.float32
        assert boxes.min() >= 0
        assert (boxes[:, 2:] <= [image.shape[1] - 1, image.shape[0] - 1]).all()
    best = found[0][0].score
    (fewer, _) = detector.detect(images, score_threshold=best - 1e-4)
    assert [f.score for f in fewer] == [best]


@pytest.mark.parametrize("scales", [(1.0,), (0.75, 1.25)])
def test_with_the_flip_test_a_mirrored_image_has_mirrored_boxes(detector, scales):
    """Both orders of the two looks give the same boxes: an error of half a pixel would show."""
    image = photo(60, 48)
    both = BoxDetector(detector.model, detector.spec, scales, flip=True)
    (found,), (other,) = both.detect([image]), both.detect([image[:, ::-1].copy()])
    plain = detector.detect([image])[0]
    assert {f.score for f in plain} != {f.score for f in found}
    assert len(found) == len(other) > 3
    for a, b in zip(found, other, strict=True):
        x1, y1, x2, y2 = b.box
        assert a.score == pytest.approx(b.score, abs=1e-5)
        assert np.allclose(a.box, [47 - x2, y1, 47 - x1, y2], atol=1e-2)


def test_a_larger_image_at_the_same_input_size_has_larger_boxes(detector):
    """An image doubled by repeating pixels is shrunk back to the same input: x becomes 2 x + 0.5."""
    image = photo(64, 64)
    (small,), (large,) = (
        detector.detect([i]) for i in (image, image.repeat(2, axis=0).repeat(2, axis=1))
    )
    assert len(small) == len(large) > 3
    for a, b in zip(small, large, strict=True):
        inside = (a.box > 0.5) & (a.box < 62.5)  # others were cut off at the border
        assert a.score == pytest.approx(b.score, abs=1e-4)
        assert np.allclose(b.box[inside], 2 * a.box[inside] + 0.5, atol=0.05)


def test_scales_are_several_looks(detector):
    image = photo(64, 64)
    (one,), (two,) = (
        BoxDetector(detector.model, detector.spec, scales).detect([image])
        for scales in ((1.0,), (1.0, 1.5))
    )
    tops = {f.score for f in one}
    assert one[0].score <= two[0].score
    assert {f.score for f in two} - tops  # the second look adds garments
