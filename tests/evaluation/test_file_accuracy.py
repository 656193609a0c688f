"""``score --metric pck`` on COCO files: the numbers of ``evaluate``, and which result is whose."""

import json

import numpy as np
import pytest
from coco_export import annotations_dict, results
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.evaluation.file_accuracy import score_accuracy
from fashion_ops.evaluation.keypoint_accuracy import COLUMNS, MEAN, keypoint_accuracy
from fashion_ops.taxonomy import CATEGORIES


@pytest.fixture
def files(tmp_path, images, garments, predictions):
    truth, found = tmp_path / "truth.json", tmp_path / "found.json"
    truth.write_text(json.dumps(annotations_dict(images, garments)))
    found.write_text(json.dumps(list(results(predictions, images))))
    return truth, found


def test_equals_evaluate_where_each_garment_has_its_result(files, garments, predictions):
    own = predictions[predictions["garment_id"].isin(garments["garment_id"])]
    expected = keypoint_accuracy(garments, own.drop_duplicates("garment_id"))
    scores = score_accuracy(*files)
    assert scores["columns"] == list(COLUMNS)
    ids = {c.name: str(c.id) for c in CATEGORIES} | {MEAN: MEAN}
    for name, row in expected.iterrows():
        if row["garments"]:
            np.testing.assert_allclose(scores["rows"][ids[name]], row, rtol=1e-5, err_msg=str(name))


def skirts(boxes, shift, scores):
    """Two files of one picture: a skirt at each box, and results some pixels beside them."""
    keypoints = np.zeros((len(boxes), 294, 3))
    first = next(c.slots.start for c in CATEGORIES if c.name == "skirt")
    keypoints[:, first : first + 8, 2] = 2
    keypoints[:, first : first + 8, :2] = np.array(boxes, float)[:, None, :2]
    truth = {
        "images": [{"id": 1, "width": 500, "height": 500, "file_name": "1.jpg"}],
        "categories": [{"id": 9, "name": "skirt"}],
        "annotations": [
            {
                "id": i + 1,
                "image_id": 1,
                "category_id": 9,
                "bbox": list(box),
                "area": box[2] * box[3],
                "iscrowd": 0,
                "num_keypoints": 8,
                "keypoints": keypoints[i].ravel().tolist(),
            }
            for i, box in enumerate(boxes)
        ],
    }
    found = []
    for (of, right), score in zip(shift, scores, strict=True):
        moved = keypoints[of].copy()
        moved[:, 0] += right
        found.append(
            {"image_id": 1, "category_id": 9, "keypoints": moved.ravel().tolist(), "score": score}
        )
    return truth, found


def write(tmp_path, pair):
    paths = tmp_path / "truth.json", tmp_path / "found.json"
    for path, value in zip(paths, pair, strict=True):
        path.write_text(json.dumps(value))
    return paths


def test_a_result_belongs_to_the_nearest_garment_that_is_free(tmp_path):
    boxes = [(10, 10, 100, 100), (300, 10, 100, 100)]
    # In another order than the garments; the third, of a low score, finds its garment taken.
    files = skirts(boxes, [(1, 4.0), (0, 6.0), (0, 1.0)], [0.9, 0.8, 0.1])
    garments, pck, corner, auc, epe = score_accuracy(*write(tmp_path, files))["rows"]["9"]
    assert (garments, pck, corner) == (2, 1.0, 1.0)
    assert epe == pytest.approx(5.0) and auc == pytest.approx((17 + 15) / 2 / 20)


def test_a_garment_without_a_result_is_wrong(tmp_path):
    boxes = [(10, 10, 100, 100), (300, 10, 100, 100)]
    rows = score_accuracy(*write(tmp_path, skirts(boxes, [(1, 4.0)], [0.9])))["rows"]
    assert rows["9"][:2] == [2, 0.5] and rows["9"][4] == pytest.approx(4.0)


def test_the_command_shows_the_published_row_under_the_own_one(files):
    command = [
        "score",
        "--metric",
        "pck",
        "--annotations",
        str(files[0]),
        "--predictions",
        str(files[1]),
    ]
    lines = CliRunner().invoke(app, command).output.splitlines()
    at = next(i for i, line in enumerate(lines) if "(short_sleeve_top)" in line)
    assert lines[at + 1].split() == ["mmpose,", "published", "0.983", "0.680", "11.75"]
    assert lines[-1].startswith("mean")
