"""The fast scorer against stock pycocotools on random cases, and against the official values."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.pycocotools_scores import reference_scores
from fashion_ops.evaluation.coco_files import read_annotations, read_results, score_files
from fashion_ops.evaluation.oks import STATS, oks, score_landmarks
from fashion_ops.taxonomy import CATEGORIES, category

ORACLE = Path(__file__).parents[3] / "shared" / "samples" / "oks_oracle"
SIZES = (12, 40, 90, 97, 150, 400)


def random_case(seed: int) -> tuple[dict, list]:
    """A small data set with everything that makes scoring hard."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice([1, 3, 8, 9, 13], rng.integers(1, 4), replace=False)
    images = [
        {"id": int(i), "file_name": f"{i}.jpg", "width": 500, "height": 500} for i in rng.permutation(9)
    ]
    annotations, results = [], []
    for image in images:
        for _ in range(rng.integers(0, 5)):
            add_garment(rng, int(rng.choice(kinds)), image["id"], annotations, results)
    data = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": c.id} for c in CATEGORIES],
    }
    rng.shuffle(results)
    missing = rng.integers(0, 9)
    return data, [r for r in results if r["image_id"] != missing]


def add_garment(rng, kind: int, image: int, annotations: list, results: list) -> None:
    w, h = rng.choice(SIZES, 2)
    x, y = rng.integers(0, 200, 2)
    slots, n = category(kind).slots, category(kind).num_landmarks
    keypoints = np.zeros((294, 3))
    points = rng.uniform(0, 1, (n, 2)) * (w, h) + (x, y)
    visibility = rng.choice([0, 1, 2], n) * (rng.random() > 0.15)
    keypoints[slots] = np.column_stack((points, visibility)) * (visibility > 0)[:, None]
    annotation = {
        "id": len(annotations) + 1,
        "image_id": image,
        "category_id": kind,
        "bbox": [float(v) for v in (x, y, w, h)],
        "area": float(w * h),
        "iscrowd": int(rng.random() < 0.1),
        "num_keypoints": int((visibility > 0).sum()),
        "keypoints": keypoints.ravel().tolist(),
    }
    annotations.append(annotation)
    if rng.random() < 0.2:  # the same garment labelled twice
        annotations.append({**annotation, "id": len(annotations) + 1})
    for _ in range(rng.choice([0, 1, 2, 15])):
        filler = rng.choice([0.0, 1.0, 9.0])
        keypoints = np.full((294, 3), filler) * (x + w / 2, y + h / 2, 1)
        noise = rng.choice([0.0, 0.03, 0.1]) * np.sqrt(w * h)
        keypoints[slots, :2] = points + rng.normal(0, 1, (n, 2)) * noise
        record = {
            "image_id": image,
            "category_id": kind if rng.random() < 0.9 else int(rng.integers(1, 14)),
            "score": float(rng.choice([0.1, 0.5, 0.5, 0.9, rng.random()])),
            "keypoints": keypoints.ravel().tolist(),
        }
        results += [record] * int(rng.choice([1, 1, 1, 3]))


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
