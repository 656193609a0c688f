"""PCK, AUC and EPE, worked by hand, against a direct calculation, and beside mmpose's rows."""

import numpy as np
import pandas as pd
import pytest

from fashion_ops.evaluation.keypoint_accuracy import COLUMNS, MEAN, PUBLISHED, keypoint_accuracy
from fashion_ops.taxonomy import CATEGORIES, CATEGORY_NAMES, category

SKIRT = category("skirt")  # 8 landmarks


def garment(number: int, box: list[float], visibility: list[int]) -> dict[str, object]:
    """A skirt whose landmarks lie at the box's upper left corner."""
    landmarks = np.column_stack([np.tile(box[:2], (SKIRT.num_landmarks, 1)), visibility])
    return {
        "garment_id": number,
        "category_id": SKIRT.id,
        "box": np.array(box, np.float32),
        "landmarks": landmarks.astype(np.float32).ravel(),
    }


def moved(rows: pd.DataFrame, pixels: list[list[float]]) -> pd.DataFrame:
    """Predictions that lie this many pixels to the right of each landmark."""
    landmarks = []
    for value, right in zip(rows["landmarks"], pixels, strict=True):
        points = np.reshape(value, (-1, 3)).copy()
        points[:, 0] += np.array(right, np.float32)
        landmarks.append(points.ravel())
    return rows.assign(landmarks=landmarks)


def test_a_case_worked_by_hand():
    # Longer sides 100 and 50, largest corners 300 and 50: limits 20 and 10, or 60 and 10 pixels.
    garments = pd.DataFrame(
        [
            garment(7, [200, 100, 300, 160], [2, 1, 0, 0, 0, 0, 0, 0]),
            garment(9, [0, 0, 40, 50], [2, 0, 2, 0, 0, 0, 0, 0]),
        ]
    )
    predictions = moved(garments, [[19, 40, 9e3, 0, 0, 0, 0, 0], [11, 9e3, 3, 0, 0, 0, 0, 0]])
    row = keypoint_accuracy(garments, predictions).loc["skirt"]
    assert row["garments"] == 2
    assert row["PCK"] == pytest.approx((1 / 2 + 0 + 1) / 3)  # landmark 1: one of two, 2: none, 3: one
    assert row["PCK corner"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert row["EPE"] == pytest.approx((19 + 40 + 11 + 3) / 4)
    # AUC: thresholds 1.5 apart; 11 px is below 12 of 20 (12.0 to 28.5), 19 px below 7, 3 px below 17.
    assert row["AUC"] == pytest.approx(((12 + 7) / 2 + 0 + 17) / 3 / 20)


def test_a_garment_without_a_prediction_is_wrong_and_has_no_distance():
    garments = pd.DataFrame([garment(i, [0, 0, 90, 90], [2] * 8) for i in (1, 2)])
    half = keypoint_accuracy(garments, moved(garments, [[1] * 8, [1] * 8]).iloc[:1]).loc["skirt"]
    assert half[["PCK", "PCK corner", "EPE"]].tolist() == [0.5, 0.5, 1.0]
    none = keypoint_accuracy(garments, garments.iloc[:0]).loc["skirt"]
    assert none["PCK"] == none["AUC"] == 0 and np.isnan(none["EPE"])


def test_a_category_without_labels_has_no_numbers_and_is_left_out_of_the_mean():
    garments = pd.DataFrame([garment(1, [0, 0, 90, 90], [2] * 8)])
    table = keypoint_accuracy(garments, moved(garments, [[2] * 8]))
    assert list(table.index) == [*CATEGORY_NAMES, MEAN] and tuple(table.columns) == COLUMNS
    assert table.drop(index=["skirt", MEAN])[list(COLUMNS[1:])].isna().all(axis=None)
    assert table.loc[MEAN, "EPE"] == table.loc["skirt", "EPE"] == 2


def test_the_numbers_are_those_of_a_direct_calculation(garments, predictions):
    """Loops over landmarks and garments, for every category."""
    table = keypoint_accuracy(garments, predictions)
    predicted = dict(zip(predictions["garment_id"], predictions["landmarks"], strict=True))
    for c in CATEGORIES:
        errors: dict[int, list[tuple[float, float]]] = {}
        own = garments[garments["category_id"] == c.id]
        for row in own.itertuples():
            truth = np.reshape(row.landmarks, (-1, 3)).astype(float)
            points = np.reshape(predicted[row.garment_id], (-1, 3)).astype(float)
            side = max(row.box[2] - row.box[0], row.box[3] - row.box[1])
            for k in np.flatnonzero(truth[:, 2] > 0):
                error = float(np.hypot(*(points[k, :2] - truth[k, :2])))
                errors.setdefault(int(k), []).append((error, error / side))
        if not errors:
            assert np.isnan(table.loc[c.name, "PCK"])
            continue
        pck = np.mean([np.mean([ratio < 0.2 for _, ratio in v]) for v in errors.values()])
        auc = np.mean(
            [[np.mean([e < 1.5 * i for e, _ in v]) for v in errors.values()] for i in range(20)]
        )
        epe = np.mean([e for v in errors.values() for e, _ in v])
        assert table.loc[c.name, ["PCK", "AUC", "EPE"]].tolist() == pytest.approx([pck, auc, epe])


def test_published_rows_cover_all_categories_in_their_published_range():
    assert list(PUBLISHED) == list(CATEGORY_NAMES)
    low, high = np.min(list(PUBLISHED.values()), axis=0), np.max(list(PUBLISHED.values()), axis=0)
    np.testing.assert_array_equal(low, [0.931, 0.453, 11.75])
    np.testing.assert_array_equal(high, [0.983, 0.680, 24.48])
