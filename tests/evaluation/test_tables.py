"""The baseline, the error by cluster and the table of methods, on hand-worked garments."""

import numpy as np
import pandas as pd
import pytest

from fashion_ops.evaluation.clusters import errors_by_cluster, garment_errors
from fashion_ops.evaluation.mean_shape import fit_mean_shape, predict_mean_shape
from fashion_ops.evaluation.tables import evaluate_tables
from fashion_ops.taxonomy import category


def skirts(
    garments: pd.DataFrame, landmarks: list[np.ndarray], boxes: list[list[float]]
) -> pd.DataFrame:
    rows = garments.head(len(boxes)).copy()
    rows["category_id"] = np.int8(9)
    rows["box"] = [np.float32(b) for b in boxes]
    rows["landmarks"] = [np.float32(v).ravel() for v in landmarks]
    return rows


def test_mean_shape_averages_labelled_landmarks_within_the_box(garments):
    first = np.tile([10, 20, 2], (8, 1))  # in a box from (0, 0) to (100, 100): (0.1, 0.2)
    second = np.tile([120, 180, 1], (8, 1))  # in a box from (100, 100) to (200, 300): (0.2, 0.4)
    second[3] = 0
    first[5] = second[5] = 0
    shapes = fit_mean_shape(skirts(garments, [first, second], [[0, 0, 100, 100], [100, 100, 200, 300]]))
    assert shapes[9][0] == pytest.approx([0.15, 0.3])
    assert shapes[9][3] == pytest.approx([0.1, 0.2])
    assert shapes[9][5] == pytest.approx([0.5, 0.5])
    assert shapes[2] == pytest.approx(np.full((33, 2), 0.5))

    target = skirts(garments, [first], [[50, 100, 250, 200]])
    table = predict_mean_shape(shapes, target)
    assert table["landmarks"][0].reshape(8, 3)[0] == pytest.approx([80, 130, 1])
    assert table["score"][0] == 1
    scored = predict_mean_shape(shapes, table.assign(score=np.float32(0.25)))
    assert scored["score"][0] == 0.25


def test_error_is_in_box_widths_and_heights(garments):
    truth = np.tile([10.0, 20, 2], (8, 1))
    truth[6:, 2] = 0
    predicted = truth + np.array([3, 8, 0])  # 0.03 widths, 0.04 heights: 0.05
    predicted[6:, :2] = 999  # not labelled, not counted
    rows = skirts(garments, [truth, truth], [[0, 0, 100, 200]] * 2)
    predictions = rows.assign(landmarks=[np.float32(predicted).ravel(), np.float32(truth).ravel()])
    errors = garment_errors(rows, predictions)
    assert errors["error"].tolist() == pytest.approx([0.05, 0])
    variances = (2 * category(9).sigmas[:6]) ** 2
    assert errors["oks"][0] == pytest.approx(np.exp(-73 / (2 * 20000 * variances)).mean())
    assert errors["oks"][1] == 1


def test_clusters_worst_first(garments, predictions):
    rng = np.random.default_rng(0)
    labels = pd.DataFrame(
        {"garment_id": garments["garment_id"], "cluster": rng.integers(-1, 3, len(garments))}
    ).astype({"cluster": "int16"})
    table = errors_by_cluster(garments, predictions, labels)
    assert table["garments"].sum() == (labels["cluster"] >= 0).sum()
    for _, rows in table.groupby("category"):
        assert rows["error"].is_monotonic_decreasing
    assert errors_by_cluster(garments, predictions, labels.head(0)).empty
    row = table.iloc[0]
    kind = garments["category_id"] == category(row["category"]).id
    members = garments[kind & (labels["cluster"] == row["cluster"]).to_numpy()]
    assert row["error"] == pytest.approx(garment_errors(members, predictions)["error"].mean())


def test_evaluate_tables(images, garments, predictions):
    exact = garments[["image_id", "garment_id", "category_id", "box", "landmarks"]]
    exact = exact.assign(score=np.float32(1))
    result = evaluate_tables(
        images,
        garments,
        {"exact": exact, "mean_shape": predict_mean_shape(fit_mean_shape(garments), garments)},
        {"exact": exact, "detector": predictions},
        detector=predictions,
        train_garments=garments,
    )
    assert result.methods.index.tolist() == ["mean_shape", "detector", "exact"]
    assert result.per_category.columns.tolist() == [
        "train",
        "validation",
        "box_AP",
        "mean_shape",
        "exact",
    ]
    assert result.methods.loc["exact"].tolist() == pytest.approx([1, 1, 1, 1, 1])
    assert np.isnan(result.methods.loc["detector", "AP"])
    assert 0.1 < result.methods.loc["detector", "own_AP"] < 0.9
    assert result.methods.loc["mean_shape", "AP"] < 0.2
    skirt = result.per_category.loc["skirt"]
    assert skirt["validation"] == skirt["train"] == (garments["category_id"] == 9).sum()
    assert skirt["exact"] == pytest.approx(1)
    assert result.per_category.loc["vest", "exact"] == -1
