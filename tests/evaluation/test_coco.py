"""Tables as COCO and back, and what is said about broken files."""

import bz2
import gzip
import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from coco_export import annotations_dict, results, write_annotations, write_results

from bench.pycocotools_scores import reference_scores
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.coco_annotations import read_annotations
from fashion_ops.evaluation.coco_files import score_files
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.taxonomy import category


def test_tables_files_and_pycocotools_give_the_same_numbers(tmp_path, images, garments, predictions):
    scores = score_landmarks(ground_truth(images, garments), detections(predictions, images))
    write_annotations(tmp_path / "gt.json", images, garments)
    write_results(tmp_path / "found.json", predictions, images)
    from_files = score_files(tmp_path / "gt.json", tmp_path / "found.json")
    assert from_files["stats"] == list(scores.stats.values())
    assert from_files["per_category_AP"] == {str(c): ap for c, ap in scores.per_category.items()}
    reference = reference_scores(annotations_dict(images, garments), list(results(predictions, images)))
    assert scores.stats == pytest.approx(reference.stats, abs=1e-12)
    assert 0.1 < scores.stats["AP"] < 0.9


def test_ground_truth_follows_the_official_converter(images, garments):
    data = annotations_dict(images, garments)
    assert [a["id"] for a in data["annotations"]] == list(range(1, len(garments) + 1))
    first, garment = data["annotations"][0], garments.iloc[0]
    x1, y1, x2, y2 = garment["box"].astype(float)
    assert first["bbox"] == [x1, y1, x2 - x1, y2 - y1]
    assert first["area"] == (x2 - x1) * (y2 - y1)
    keypoints = np.reshape(first["keypoints"], (294, 3))
    slots = category(int(garment["category_id"])).slots
    assert np.array_equal(keypoints[slots].ravel(), garment["landmarks"])
    assert first["num_keypoints"] == garment["num_labelled"] == (keypoints[:, 2] > 0).sum()
    keypoints[slots] = 0
    assert not keypoints.any()
    assert len(data["categories"]) == 13
    assert data["categories"][0]["name"] == "short_sleeved_shirt"


def test_unused_slots_hold_the_box_centre(images, predictions):
    record, row = next(results(predictions, images)), predictions.iloc[0]
    keypoints = np.reshape(record["keypoints"], (294, 3))
    slots = category(int(row["category_id"])).slots
    assert np.array_equal(keypoints[slots, :2], row["landmarks"].reshape(-1, 3)[:, :2])
    rest = np.delete(keypoints, np.r_[slots], 0)
    x1, y1, x2, y2 = row["box"].astype(float)
    assert np.array_equal(rest[:, :2], np.tile([(x1 + x2) / 2, (y1 + y2) / 2], (len(rest), 1)))
    assert record["image_id"] == images.set_index("image_id")["coco_id"][row["image_id"]]


def test_box_centre_spares_predictions_for_unlabelled_garments(images, garments):
    """The trap of the official protocol: zeros in the unused slots cost AP."""
    one = garments[garments["category_id"] == 8].head(3).copy()
    blank = np.zeros_like(one.iloc[0]["landmarks"])
    exact = pd.DataFrame(
        {
            "image_id": one["image_id"],
            "garment_id": one["garment_id"],
            "category_id": one["category_id"],
            "score": np.float32([0.9, 0.8, 0.7]),
            "box": one["box"],
            "landmarks": one["landmarks"],
        }
    )
    one["landmarks"] = [blank, *one["landmarks"][1:]]
    one["box"] = [np.float32([300, 300, 390, 390]), *one["box"][1:]]
    exact["box"] = one["box"]
    exact["landmarks"] = [blank + 340, *exact["landmarks"][1:]]
    truth, predicted = ground_truth(images, one), detections(exact, images)
    assert truth.ignored.tolist() == [True, False, False]
    assert score_landmarks(truth, predicted).stats["AP"] == pytest.approx(1)
    padded = list(results(exact, images))
    for record in padded:
        keypoints = np.reshape(record["keypoints"], (294, 3))
        keypoints[: category(8).slots.start] = keypoints[category(8).slots.stop :] = 0
        record["keypoints"] = keypoints.ravel().tolist()
    assert reference_scores(annotations_dict(images, one), padded).stats["AP"] < 0.7


def test_empty_tables(images, garments, predictions):
    nothing = detections(predictions.head(0), images)
    assert score_landmarks(ground_truth(images, garments), nothing).stats["AP"] == 0
    empty = ground_truth(images, garments.head(0))
    assert score_landmarks(empty, detections(predictions, images)).stats["AP"] == -1


def test_images_must_be_known_and_of_one_split(images, predictions):
    with pytest.raises(ValueError, match="image_id 1024 is not among the 24 images"):
        detections(predictions, images.head(24))
    two = images.assign(split=["train", *images["split"][1:]])
    with pytest.raises(ValueError, match="one split expected, got train, validation"):
        detections(predictions, two)


GOOD_GT = {
    "images": [{"id": 5}],
    "annotations": [
        {
            "id": 1,
            "image_id": 5,
            "category_id": 9,
            "bbox": [0, 0, 9, 9],
            "area": 81,
            "keypoints": [0] * 882,
        }
    ],
}
GOOD_RESULT = {"image_id": 5, "category_id": 9, "score": 0.5, "keypoints": [0] * 882}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [0] * 51}, "result 1: keypoints has 51 numbers, expected 882"),
        (
            {"keypoints": [0] * 881 + [float("nan")]},
            "result 1: keypoints[881] is nan, expected a finite number",
        ),
        (
            {"keypoints": [0, "a", *[0] * 880]},
            "result 1: keypoints[1] is 'a', expected a finite number",
        ),
        (
            {"keypoints": [0] * 881 + [2e9]},
            "result 1: keypoints[881] is 2000000000.0, expected a finite number, at most 1e+09",
        ),
        ({"keypoints": None}, "result 1: keypoints is None, expected 882 numbers"),
        ({"image_id": 6}, "result 1: image_id 6 is unknown to the annotations"),
        ({"image_id": "5"}, "result 1: image_id is '5', expected a whole number"),
        ({"category_id": 14}, "result 1: category_id 14 is unknown; it must be 1 to 13"),
        ({"score": float("inf")}, "result 1: score is inf, expected a finite number"),
        ({"score": "0.5"}, "result 1: score is '0.5', expected a finite number"),
    ],
)
def test_broken_results(tmp_path, change, message):
    (tmp_path / "gt.json").write_text(json.dumps(GOOD_GT))
    (tmp_path / "found.json").write_text(json.dumps([GOOD_RESULT, GOOD_RESULT | change]))
    with pytest.raises(ValueError, match=re.escape(f"found.json: {message}")):
        score_files(tmp_path / "gt.json", tmp_path / "found.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [0, 0, 9]}, "annotation 1: bbox has 3 numbers, expected 4"),
        ({"image_id": 7}, "annotation 1: image_id 7 is not among its 1 images"),
        ({"id": 1}, "annotation 1: id 1 is also that of annotation 0"),
        ({"keypoints": [0] * 51}, "annotation 1: keypoints has 51 numbers, expected 882"),
        ({"keypoints": [-2e9] + [0] * 881}, "annotation 1: keypoints[0] is -2000000000.0, expected"),
        ({"id": None}, "annotation 1: id is None, expected a whole number"),
        ({"category_id": 0}, "annotation 1: category_id 0 is unknown; it must be 1 to 13"),
    ],
)
def test_broken_annotations(tmp_path, change, message):
    good = GOOD_GT["annotations"][0]
    (tmp_path / "gt.json").write_text(
        json.dumps({**GOOD_GT, "annotations": [good, good | {"id": 2} | change]})
    )
    with pytest.raises(ValueError, match=re.escape(f"gt.json: {message}")):
        read_annotations(tmp_path / "gt.json")


def test_files_that_are_something_else(tmp_path):
    path = tmp_path / "x.json"
    with pytest.raises(ValueError, match=r"x.json: cannot be read: No such file"):
        read_annotations(path)
    path.write_text("[1, 2")
    with pytest.raises(ValueError, match=r"x.json: not JSON"):
        read_annotations(path)
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"x.json: not a COCO annotation file"):
        read_annotations(path)
    path.write_text(json.dumps({**GOOD_GT, "images": [{"id": 5}, {"id": 5}]}))
    with pytest.raises(ValueError, match="image id 5 appears twice"):
        read_annotations(path)
    path.write_text(json.dumps(GOOD_GT))
    with pytest.raises(ValueError, match=r"x.json: not a COCO result file"):
        score_files(path, path)


def whole(**changes):
    """Ground truth and results that pycocotools reads: two skirts, one of them found."""
    keypoints = np.zeros((294, 3))
    keypoints[category("skirt").slots] = [[10 + 5 * i, 20 + 3 * i, 2] for i in range(8)]
    flat = keypoints.ravel().tolist()
    garment = {"category_id": 9, "bbox": [5, 5, 60, 60], "area": 3600, "iscrowd": 0}
    garment |= {"keypoints": flat, "num_keypoints": 8}
    truth = {
        "images": [{"id": 1}, {"id": 2}],
        "annotations": [garment | {"id": i, "image_id": i} for i in (1, 2)],
        "categories": [{"id": 9, "name": "skirt"}],
    }
    return truth | changes, [{"image_id": 1, "category_id": 9, "score": 0.5, "keypoints": [*flat]}]


def score(folder, truth, results):
    (folder / "gt.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps(results))
    return score_files(folder / "gt.json", folder / "found.json")


def test_what_spoils_a_file_is_warned_of_and_scored_as_pycocotools_scores_it(tmp_path):
    truth, results = whole()
    truth["annotations"][1]["id"] = 1  # pycocotools takes the last for both
    with pytest.warns(
        UserWarning, match=r"gt.json: annotation 1: id 1 is also that of annotation 0\. Sc"
    ):
        scores = score(tmp_path, truth, results)
    assert scores["stats"] == pytest.approx(list(reference_scores(truth, results).stats.values()))
    truth, results = whole()
    results[0]["keypoints"][0] = float("nan")
    with pytest.warns(UserWarning, match=r"found.json: result 0: keypoints\[0\] is nan"):
        assert score(tmp_path, truth, results)["stats"][0] == pytest.approx(51 / 101)


@pytest.mark.parametrize("turn", [float, str, lambda i: i + 2**64, lambda i: i - 1])
def test_ids_of_any_kind_are_scored(tmp_path, turn):
    truth, results = whole()
    for row in truth["images"]:
        row["id"] = turn(row["id"])
    for row in (*truth["annotations"], *results):
        row["image_id"] = turn(row["image_id"])
    with warnings.catch_warnings(action="ignore"):
        assert score(tmp_path, truth, results)["stats"][0] == pytest.approx(51 / 101)


def test_a_text_is_another_id_than_the_number_for_score_as_for_ingest(tmp_path):
    truth, results = whole()
    results[0]["image_id"] = "1"
    with pytest.raises(
        ValueError, match=r"found.json: result 0: image_id is '1', expected a whole num"
    ):
        score(tmp_path, truth, results)


@pytest.mark.parametrize("name", ["num_keypoints", "iscrowd", "area"])
def test_a_field_that_pycocotools_needs_is_named(tmp_path, name):
    truth, results = whole()
    del truth["annotations"][1][name]
    with pytest.raises(ValueError, match=f"annotation 1: {name} is missing; the official evaluator ne"):
        score(tmp_path, truth, results)
    assert len(read_annotations(tmp_path / "gt.json").ids) == 2  # ingest reads such files too


@pytest.mark.parametrize("results", [[], {}, None])
def test_no_results_are_refused_as_by_pycocotools(tmp_path, results):
    with pytest.raises(ValueError, match=r"found\.json: "):
        score(tmp_path, whole()[0], results)


def test_empty_keypoints_are_a_garment_without_labels(tmp_path):
    truth, results = whole()
    truth["annotations"][1] |= {"keypoints": [], "num_keypoints": 0}
    assert score(tmp_path, truth, results)["stats"][0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "not JSON"),
        (bz2.compress(b"{}"), "not JSON: compressed with bzip2, which is not read; unpack it first"),
        (gzip.compress(b"{}", mtime=0)[:-9], "not JSON: a damaged gzip file"),
        (b'{"images": [', "not JSON"),
        (b'{"images": "x", "annotations": []}', "not a COCO annotation file"),
        (b'{"images": [], "annotations": [], "categories": 7}', "categories is 7, expected a list"),
    ],
)
def test_files_that_no_evaluator_reads_are_refused_in_one_line(tmp_path, content, message):
    score_files_of = tmp_path / "gt.json", tmp_path / "found.json"
    score_files_of[0].write_bytes(content)
    score_files_of[1].write_text(json.dumps(whole()[1]))
    with pytest.raises(ValueError, match=rf"gt\.json: {message}") as caught:
        score_files(*score_files_of)
    assert len(str(caught.value).splitlines()) == 1


def test_categories_keep_the_names_of_the_file(tmp_path):
    truth, results = whole()
    truth["categories"] = [{"id": 9, "name": "Rock"}, {"id": 0, "name": "clothes"}, {"id": 70}]
    scores = score(tmp_path, truth, results)
    assert scores["category_names"] == {"0": "clothes", "9": "Rock", "70": ""}
    assert scores["per_category_AP"] == pytest.approx({"0": -1, "9": 51 / 101, "70": -1})
