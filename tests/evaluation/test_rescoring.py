"""Many scorings at once against the scorers themselves, one scoring at a time."""

import numpy as np
import pandas as pd
import pytest

from fashion_ops.evaluation.boxes import score_boxes
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.evaluation.rescoring import box_aps, landmark_aps


@pytest.fixture(scope="module")
def crowded(garments, predictions) -> pd.DataFrame:
    """Several detections a garment, some on images without that category; up to 60 an image."""
    rng = np.random.default_rng(7)
    parts = []
    for noise in (0, 5, 15, 40):
        for _ in range(5):
            part = predictions.copy()
            part["landmarks"] = [
                v + rng.normal(0, noise, len(v)).astype(np.float32) for v in part["landmarks"]
            ]
            part["box"] = [v + rng.normal(0, noise / 8, 4).astype(np.float32) for v in part["box"]]
            parts.append(part)
    stray = predictions.head(20).assign(image_id=predictions["image_id"].to_numpy()[::-1][:20])
    return pd.concat([*parts, stray], ignore_index=True)


@pytest.fixture(scope="module")
def unlabelled(garments) -> pd.DataFrame:
    """The garments, two of them without any label."""
    out = garments.copy()
    for row in (0, 5):
        out.at[row, "landmarks"] = np.zeros_like(out.at[row, "landmarks"])
    return out


@pytest.fixture(scope="module")
def scorings(crowded) -> np.ndarray:
    """Random scores with ties; the second lacks half, the third all, the fourth all but a tenth."""
    scores = np.random.default_rng(3).integers(1, 200, (5, len(crowded))).astype(np.float32) / 200
    scores[1, ::2] = -1
    scores[2] = -1
    scores[3, np.arange(len(crowded)) % 10 > 0] = -1
    return scores


def test_each_scoring_gets_the_ap_of_the_scorers(images, unlabelled, crowded, scorings):
    truth, predicted = ground_truth(images, unlabelled), detections(crowded, images)
    landmark = landmark_aps(truth, predicted, scorings)
    box = box_aps(truth, predicted, np.stack(crowded["box"].to_list()), scorings)
    for v, scores in enumerate(scorings):
        table = crowded.assign(score=scores)[scores >= 0]
        single = score_landmarks(truth, detections(table, images)).stats["AP"]
        assert landmark[v] == pytest.approx(single, abs=1e-12)
        boxes = score_boxes(images, unlabelled, table).stats["AP"] if len(table) else 0.0
        assert box[v] == pytest.approx(boxes, abs=1e-9)
    assert landmark[0] > 0.05 and box[0] > 0.05 and len(set(landmark)) == 5


def test_nothing_to_find(images, garments, crowded, scorings):
    truth, predicted = ground_truth(images, garments.head(0)), detections(crowded, images)
    assert landmark_aps(truth, predicted, scorings).tolist() == [-1.0] * 5
