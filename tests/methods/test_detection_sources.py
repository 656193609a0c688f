"""Boxes from detectors and COCO results."""

import json

import numpy as np
import pandas as pd
import pytest
from detection_networks import box_detector
from detection_wardrobe import Wardrobe

from fashion_ops.methods.centernet.inference import Detection
from fashion_ops.methods.detection.inference import BoxDetector
from fashion_ops.methods.detection.sources import DetectedBoxes, boxes_from_file


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return Wardrobe(6, 64)


@pytest.fixture(scope="module")
def detector() -> BoxDetector:
    return box_detector()


def images_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [10, 11, 12],
            "coco_id": [1, 2, 3],
            "split": "validation",
            "width": [64, 50, 64],
            "height": [64, 40, 64],
        }
    )


def result(**changes) -> dict:
    return {"image_id": 2, "category_id": 5, "bbox": [10, 8, 20, 16], "score": 0.5} | changes


def written(tmp_path, records) -> "object":
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(records))
    return path


def test_precomputed_boxes_come_by_catalog_id_best_first(tmp_path):
    path = written(tmp_path, [result(), result(score=0.9, bbox=[-4, 0, 20, 60]), result(image_id=3)])
    source = boxes_from_file(path, images_table())
    first, bare, third = source.boxes([11, 10, 12])
    assert bare == []
    assert [b.score for b in first] == [0.9, 0.5]
    assert first[0].box.tolist() == [0, 0, 16, 39]  # cut off at the border of 50 x 40
    assert first[1].box.tolist() == [10, 8, 30, 24]
    assert third[0].category_id == 5
    with pytest.raises(ValueError, match="image id 99 is not among the 3 images"):
        source.boxes([10, 99])


def test_ids_may_be_whole_floats_as_everywhere(tmp_path):
    source = boxes_from_file(written(tmp_path, [result(image_id=2.0, category_id=5.0)]), images_table())
    assert [b.category_id for b in source.boxes([11])[0]] == [5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": "2"}, "result 1: image_id '2' is not among the 3 images"),
        ({"image_id": [2]}, r"result 1: image_id \[2\] is not among the 3 images"),
        ({"category_id": True}, "result 1: category_id is True"),
        ({"image_id": 77}, "result 1: image_id 77 is not among the 3 images of split validation"),
        ({"category_id": 14}, "result 1: category_id is 14, must be 1 to 13"),
        ({"category_id": "vest"}, "result 1: category_id is 'vest'"),
        ({"bbox": [10, 8, 0, 16]}, r"result 1: the box .* = \[10.0, 8.0, 10.0, 24.0\] is empty"),
        ({"bbox": [10, 8, 20, -3]}, "result 1: .* is empty"),
        ({"bbox": [60, 8, 20, 16]}, "result 1: .* lies outside of its image, 50 x 40"),
        ({"bbox": [10, 8, 20]}, r"result 1: bbox is \[10, 8, 20\], must be 4"),
        ({"bbox": [10, 8, None, 4]}, "result 1: bbox is .*None"),
        ({"score": "high"}, "result 1: score is .*high"),
        ({"score": True}, "result 1: score"),
    ],
)
def test_bad_results_are_refused_with_their_place(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        boxes_from_file(written(tmp_path, [result(), result(**change)]), images_table())


def test_files_that_are_no_results_are_refused(tmp_path):
    with pytest.raises(ValueError, match="not a COCO result file"):
        boxes_from_file(written(tmp_path, {"images": []}), images_table())
    with pytest.raises(ValueError, match="result 0: no bbox"):
        boxes_from_file(written(tmp_path, [{"image_id": 1, "category_id": 1}]), images_table())
    with pytest.raises(ValueError, match="cannot be read"):
        boxes_from_file(tmp_path / "none.json", images_table())
    two = images_table().assign(split=["train", "validation", "validation"])
    with pytest.raises(ValueError, match="images of one split expected, got train, validation"):
        boxes_from_file(written(tmp_path, []), two)


def test_any_detector_is_a_source(wardrobe, detector):
    """This folder's, and CenterNet's detections with their landmarks."""

    class Fake:
        def detect(self, images, score_threshold=None):
            box, points = np.zeros(4, np.float32), np.zeros((8, 3), np.float32)
            return [[Detection(box, float(i.mean()), 9, points)] for i in images]

    detected = DetectedBoxes(Fake(), wardrobe.read).boxes([3, 1])
    assert [own[0].score for own in detected] == [wardrobe.read(i).mean() for i in (3, 1)]
    own = DetectedBoxes(detector, wardrobe.read, 0.2).boxes([0, 1])
    direct = detector.detect([wardrobe.read(i) for i in (0, 1)], 0.2)
    assert [[b.score for b in x] for x in own] == [[b.score for b in x] for x in direct]
