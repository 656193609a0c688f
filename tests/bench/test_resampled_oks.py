"""OKS of arms: of one garment by hand, means over seeds, intervals over photos, the table."""

import numpy as np
import pandas as pd
import pytest

from bench.resampled_oks import resampled, write_table
from fashion_ops.evaluation.garment_oks import garment_oks
from fashion_ops.taxonomy import category, sigmas

SKIRT = 9


def table(points: np.ndarray, box: list[float], garment_id: int = 5) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "garment_id": [garment_id],
            "category_id": [SKIRT],
            "box": [np.array(box, np.float32)],
            "landmarks": [points.ravel()],
        }
    )


def test_oks_of_a_garment_is_that_of_the_definition():
    """A skirt with two labelled landmarks, one hit, one a tolerance off: (1 + e^-1/2) / 2."""
    count = category(SKIRT).num_landmarks
    truth = np.zeros((count, 3))
    truth[0], truth[3] = (10, 20, 2), (40, 50, 1)
    found = truth.copy()
    box = [0.0, 0.0, 60.0, 100.0]
    found[3, 0] += 2 * sigmas()[category(SKIRT).slots][3] * np.sqrt(60 * 100)
    found[5, :2] = 1000.0  # is not labelled and does not count
    other = pd.concat([table(found * 0, box, 4), table(found, box)])
    (value,) = garment_oks(table(truth, box), other)
    assert value == pytest.approx((1 + np.exp(-0.5)) / 2)


def scores(values: list[list[float]], images: list[int]) -> list[dict]:
    """Scores of one arm: OKS of the garments by seed."""
    return [
        {
            "photos": {"AP": 0.1, "OKS": float(np.mean(v)), "garments": v, "images": images},
            "other": {"AP": 0.2, "OKS": 0.5},
        }
        for v in values
    ]


def test_the_difference_of_arms_is_surer_than_each_of_them():
    """The second arm is .1 better on each garment: the paired interval has no width."""
    rng = np.random.default_rng(1)
    first = rng.uniform(0, 0.9, 40)
    images = np.repeat(np.arange(20), 2).tolist()
    rows = resampled(
        {
            "a": scores([first.tolist(), (first + 0.02).tolist()], images),
            "b": scores([(first + 0.1).tolist(), (first + 0.12).tolist()], images),
        },
        "a",
    )
    assert rows["a"].oks == pytest.approx(first.mean() + 0.01)
    assert rows["b"].gain == pytest.approx((0.1, 0.1, 0.1))
    assert rows["a"].std == pytest.approx(0.02 / np.sqrt(2))
    low, high = rows["a"].interval
    assert low < rows["a"].oks < high and high - low > 0.05
    lines = write_table(rows, "a").splitlines()
    assert len(lines) == 4 and "+0.100 (+0.100 to +0.100)" in lines[3]


def test_garments_of_one_photo_are_drawn_together():
    """Ten photos with ten equal garments each: as wide an interval as that of ten garments."""
    values = np.linspace(0, 0.9, 10)
    alone = resampled({"a": scores([values.tolist()], list(range(10)))}, "a")["a"].interval
    many = resampled(
        {"a": scores([np.repeat(values, 10).tolist()], np.repeat(range(10), 10).tolist())}, "a"
    )["a"].interval
    assert many == pytest.approx(alone)
