"""AP on subsets: worked by hand, and against stock pycocotools with the same flags."""

import contextlib
import io

import numpy as np
import pandas as pd
import pytest
from coco_export import annotations_dict, results
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fashion_ops.evaluation.boxes import score_boxes
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.taxonomy import sigmas
from papers.deepmark.subsets import (
    lies_outside,
    owners,
    score_subset_boxes,
    score_subset_landmarks,
)

SKIRT = 9


@pytest.fixture
def inside(garments):
    return np.random.default_rng(5).random(len(garments)) < 0.4


@pytest.fixture
def crowd(garments, predictions):
    """The predictions twice, the second time badly placed, and some of another category."""
    rng = np.random.default_rng(3)
    poor = predictions.copy()
    poor["box"] = [(b + rng.normal(0, 25, 4)).astype(np.float32) for b in poor["box"]]
    poor["landmarks"] = [
        (p + np.tile((*rng.normal(0, 12, 2), 0), len(p) // 3)).astype(np.float32)
        for p in poor["landmarks"]
    ]
    poor["score"] = rng.random(len(poor)).astype(np.float32)
    return pd.concat([predictions, poor], ignore_index=True)


def reference(kind, annotations, predicted):
    """pycocotools' AP; ``area`` given with a result is kept."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth, results = COCO(), COCO()
        truth.dataset = annotations
        truth.createIndex()
        results.dataset = {**annotations, "annotations": predicted}
        results.createIndex()
        evaluator = COCOeval(truth, results, kind)
        if kind == "keypoints":
            evaluator.params.kpt_oks_sigmas = sigmas()
            evaluator.params.maxDets = [20]
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats.tolist()


def flagged(images, garments, inside):
    annotations = annotations_dict(images, garments)
    for record, counts in zip(annotations["annotations"], inside, strict=True):
        record["iscrowd"] = int(not counts)
    return annotations


def test_landmarks_equal_pycocotools_with_crowd_flags(images, garments, crowd, inside):
    predicted = list(results(crowd, images))
    elsewhere = lies_outside(garments, crowd, inside)
    assert 10 < elsewhere.sum() < len(crowd) - 10
    areas = detections(crowd, images).area
    for number, (record, area, out) in enumerate(zip(predicted, areas, elsewhere, strict=True), 1):
        record |= {"id": number, "area": 1e12 if out else float(area)}
    stats = reference("keypoints", flagged(images, garments, inside), predicted)
    scores = score_subset_landmarks(images, garments, crowd, inside)
    assert list(scores.stats.values()) == pytest.approx(stats, abs=1e-9)
    assert 0.1 < scores.stats["AP"] < 0.9


def test_boxes_equal_pycocotools_with_crowd_flags(images, garments, crowd, inside):
    elsewhere = lies_outside(garments, crowd, inside)
    predicted = []
    for number, (row, out) in enumerate(zip(crowd.itertuples(), elsewhere, strict=True), 1):
        x1, y1, x2, y2 = row.box.astype(float).tolist()
        coco_id = images.loc[images["image_id"] == row.image_id, "coco_id"].item()
        predicted.append(
            {
                "id": number,
                "image_id": coco_id,
                "category_id": row.category_id,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": 1e12 if out else (x2 - x1) * (y2 - y1),
                "score": row.score,
                "iscrowd": 0,
            }
        )
    stats = reference("bbox", flagged(images, garments, inside), predicted)
    scores = score_subset_boxes(images, garments, crowd, inside)
    assert list(scores.stats.values()) == pytest.approx(stats, abs=1e-9)
    assert 0.1 < scores.stats["AP"] < 0.9


def test_everything_inside_is_the_ordinary_score(images, garments, crowd):
    everything = np.ones(len(garments), bool)
    plain = score_landmarks(ground_truth(images, garments), detections(crowd, images))
    assert score_subset_landmarks(images, garments, crowd, everything) == plain
    boxes = score_subset_boxes(images, garments, crowd, everything)
    assert boxes == score_boxes(images, garments, crowd)


def skirts(images, garments, *boxes, visibility=2):
    """Skirts on the first image; landmarks on the boxes' corners."""
    template = garments.iloc[0]
    rows = []
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        points = np.resize([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], (8, 2))
        values = np.full((8, 1), visibility)
        rows.append(
            {
                **template.to_dict(),
                "garment_id": number,
                "image_id": images["image_id"].iloc[0],
                "category_id": SKIRT,
                "box": np.float32([x1, y1, x2, y2]),
                "landmarks": np.hstack((points, values)).astype(np.float32).ravel(),
                "num_labelled": 8,
            }
        )
    return pd.DataFrame(rows)


def found_like(garments, scores, category_ids=None):
    kinds = garments["category_id"] if category_ids is None else category_ids
    table = garments[["image_id", "garment_id", "box", "landmarks"]].assign(category_id=kinds)
    return table.assign(score=np.float32(scores))


def test_by_hand(images, garments):
    """One garment counts, one does not; two more detections: on the other one, and on nothing."""
    truth = skirts(images, garments, (0, 0, 100, 100), (200, 0, 300, 100))
    inside = np.array([True, False])
    right = found_like(truth, [0.5, 0.9])
    poor = found_like(skirts(images, garments, (225, 0, 325, 100)), [0.8])  # IoU 0.6 with the other
    assert owners(truth, pd.concat([right, poor])).tolist() == [0, 1, 1]
    # Neither the other garment's detection nor the poor one on it is a mistake of this subset.
    table = pd.concat([right, poor])
    assert score_subset_boxes(images, truth, table, inside).stats["AP"] == pytest.approx(1)
    assert score_subset_landmarks(images, truth, table, inside).stats["AP"] == pytest.approx(1)
    # One on no garment is: precision 1/2 at every recall.
    lost = found_like(skirts(images, garments, (0, 300, 90, 400)), [0.7])
    table = pd.concat([right, poor, lost])
    assert score_subset_boxes(images, truth, table, inside).stats["AP"] == pytest.approx(0.5)
    assert score_subset_landmarks(images, truth, table, inside).stats["AP"] == pytest.approx(0.5)
    # The other half: the poor detection stands below the right one and changes nothing.
    other = score_subset_boxes(images, truth, table, ~inside)
    assert other.stats["AP"] == pytest.approx(1)
    # What lies on a garment of the subset stays its mistake, whatever its rank.
    poor = found_like(skirts(images, garments, (25, 0, 125, 100)), [0.8])
    table = pd.concat([right, poor])
    strict = score_subset_boxes(images, truth, table, inside).stats
    assert strict["AP75"] == pytest.approx(0.5)


def test_a_wrong_category_is_the_mistake_of_the_garment_below(images, garments):
    truth = pd.concat(
        [
            skirts(images, garments, (0, 0, 100, 100)),
            skirts(images, garments, (200, 0, 300, 100)).assign(garment_id=1),
        ]
    )
    wrong = found_like(truth, [0.9, 0.9], category_ids=[8, 8]).assign(
        landmarks=[np.zeros(42, np.float32)] * 2
    )
    assert lies_outside(truth, wrong, np.array([True, False])).tolist() == [False, True]
    # The same category first: a top over a dress belongs to the top.
    dress = truth.assign(category_id=[SKIRT, 8], box=[truth["box"].iloc[0]] * 2)
    assert owners(dress, wrong.head(1)).tolist() == [1]


def test_visible_only(images, garments):
    """An occluded landmark far off counts in one score and not in the other."""
    truth = skirts(images, garments, (0, 0, 100, 100), (200, 0, 300, 100))
    points = truth["landmarks"].iloc[0].reshape(-1, 3).copy()
    points[:4, 2] = 1
    hidden = skirts(images, garments, (200, 0, 300, 100), visibility=1)["landmarks"].iloc[0]
    predicted = found_like(truth, [0.9, 0.8])
    truth["landmarks"] = [points.ravel(), hidden]
    moved = points.copy()
    moved[:4, :2] += 400
    predicted["landmarks"] = [moved.ravel(), hidden]
    everything = np.ones(2, bool)
    both = score_subset_landmarks(images, truth, predicted, everything).stats
    visible = score_subset_landmarks(images, truth, predicted, everything, visible_only=True).stats
    # Half of the landmarks are right: OKS .5. At .75 the better scored one is wrong, the other right:
    # precision 1/2 up to recall 1/2, which is 51 of the 101 recalls.
    assert both["AP75"] == pytest.approx(0.5 * 51 / 101, abs=1e-9)
    assert visible["AP"] == pytest.approx(1)  # the wholly hidden garment is ignored


def test_nothing_inside(images, garments, predictions):
    nothing = np.zeros(len(garments), bool)
    assert score_subset_landmarks(images, garments, predictions, nothing).stats["AP"] == -1
    assert score_subset_boxes(images, garments, predictions, nothing).stats["AP"] == -1
