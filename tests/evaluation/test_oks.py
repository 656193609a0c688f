"""The fast scorer against stock pycocotools on random cases, and against the official values."""

import json
from pathlib import Path

import numpy as np
import pytest
from coco_cases import add_garment, random_case

from bench.pycocotools_scores import reference_scores
from fashion_ops.evaluation.coco_annotations import read_annotations
from fashion_ops.evaluation.coco_files import score_files
from fashion_ops.evaluation.coco_results import read_results
from fashion_ops.evaluation.oks import STATS, oks, score_landmarks

ORACLE = Path(__file__).parents[3] / "shared" / "samples" / "oks_oracle"


def both(tmp_path: Path, data: dict, results: list):
    (tmp_path / "gt.json").write_text(json.dumps(data))
    (tmp_path / "found.json").write_text(json.dumps(results))
    truth = read_annotations(tmp_path / "gt.json")
    ours = score_landmarks(truth, read_results(tmp_path / "found.json", truth))
    # pycocotools writes into what it is given, so equal records must be separate objects
    return ours, reference_scores(data, json.loads(json.dumps(results)))


def assert_equal(ours, reference) -> None:
    assert list(ours.stats) == list(STATS)
    assert list(ours.stats.values()) == pytest.approx(list(reference.stats.values()), abs=1e-9)
    assert ours.per_category == pytest.approx(reference.per_category, abs=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_equals_pycocotools(tmp_path, seed):
    ours, reference = both(tmp_path, *random_case(seed))
    assert_equal(ours, reference)


def test_random_cases_are_not_trivial(tmp_path):
    stats = np.array([list(both(tmp_path, *random_case(seed))[0].stats.values()) for seed in range(12)])
    assert len(np.unique(stats[:, 0])) > 8
    assert ((stats > 0.01) & (stats < 0.99)).mean() > 0.6


def test_crowded_image(tmp_path):
    """Far more predictions than count, many of equal score, on garments that overlap."""
    rng = np.random.default_rng(7)
    annotations, results = [], []
    for _ in range(40):
        add_garment(rng, 9, 1, annotations, results)
    assert len(results) > 100
    data = {"images": [{"id": 1}], "annotations": annotations, "categories": [{"id": 9}]}
    assert_equal(*both(tmp_path, data, results))


def test_no_predictions(tmp_path):
    data, _ = random_case(3)
    ours, reference = both(tmp_path, data, [])
    assert_equal(ours, reference)
    assert ours.stats["AP"] == 0


def test_annotation_id_0_is_never_found_as_in_pycocotools(tmp_path):
    data, results = random_case(1)
    for annotation in data["annotations"]:
        annotation["id"] -= 1
    with pytest.warns(UserWarning, match="annotation 0 has id 0"):
        ours, reference = both(tmp_path, data, results)
    assert_equal(ours, reference)


def test_results_with_boxes_take_their_area_from_them(tmp_path):
    data, results = random_case(4)
    plain = both(tmp_path, data, results)[0]
    boxed = [{**r, "bbox": [0, 0, 50, 50]} for r in results]
    ours, reference = both(tmp_path, data, boxed)
    assert_equal(ours, reference)
    assert ours.stats["AP(M)"] < plain.stats["AP(M)"] - 0.1


def oracle_cases() -> list[str]:
    path = ORACLE / "expected.json"
    return list(json.loads(path.read_text())["cases"]) if path.exists() else ["missing"]


@pytest.mark.parametrize("case", oracle_cases())
def test_equals_the_official_evaluator(case):
    if case == "missing":
        pytest.skip("no ../shared/samples/oks_oracle here")
    expected = json.loads((ORACLE / "expected.json").read_text())
    truth, predicted = case.split("/")
    scores = score_files(ORACLE / expected["gt"][truth], ORACLE / f"pred_{predicted}.json")
    assert scores["stats"] == pytest.approx(expected["cases"][case]["stats"], abs=1e-6)
    assert scores["per_category_AP"] == pytest.approx(
        expected["cases"][case]["per_category_AP"], abs=1e-6
    )


def test_oks_by_hand():
    """Two landmarks of sigma 0.05 on an area of 100: off by 1 px, e = 1 / (2 * 100 * 0.01) = 0.5."""
    landmarks = np.array([[10.0, 10, 2], [20, 20, 1], [0, 0, 0]])
    points = np.array([[11.0, 10], [20, 20], [500, 500]])
    value = oks(points, landmarks, np.array(100.0), np.full(3, 0.05))
    assert value == pytest.approx((np.exp(-0.5) + 1) / 2)
