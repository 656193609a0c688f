"""What became of each garment, by a worked case."""

import numpy as np
import pandas as pd
import pytest

from fashion_ops.evaluation.failures import count_failures, describe_failure, find_failures
from fashion_ops.reports.also import failure_captions, failure_rows, worst_first
from fashion_ops.taxonomy import category

SKIRT, TROUSERS = category("skirt"), category("trousers")
BOX = np.array([0, 0, 100, 100], np.float32)


def landmarks(c, by=0.0):
    points = np.linspace(10, 90, 2 * c.num_landmarks).reshape(-1, 2) + by
    return np.column_stack([points, np.full(len(points), 2.0)]).astype(np.float32).ravel()


def table(*rows):
    columns = ["image_id", "garment_id", "category_id", "box", "landmarks", "score"]
    return pd.DataFrame([(*row, 1.0)[:6] for row in rows], columns=columns)


@pytest.fixture
def failures():
    far = BOX + 500
    garments = table(
        (1, 10, SKIRT.id, BOX, landmarks(SKIRT)),
        (2, 11, SKIRT.id, BOX, landmarks(SKIRT)),
        (3, 12, SKIRT.id, BOX, landmarks(SKIRT)),
        (4, 13, SKIRT.id, BOX, landmarks(SKIRT)),
        (4, 14, SKIRT.id, BOX + 200, landmarks(SKIRT, 200) * ([1, 1, 0] * 8)),  # nothing labelled
        (5, 15, SKIRT.id, BOX, landmarks(SKIRT)),
    )
    predictions = table(
        (1, -1, SKIRT.id, BOX + 2, landmarks(SKIRT)),
        (1, -1, SKIRT.id, BOX + 20, landmarks(SKIRT, 40)),  # overlaps less
        (2, -1, SKIRT.id, BOX, landmarks(SKIRT, 40)),
        (3, -1, TROUSERS.id, BOX, landmarks(TROUSERS)),
        (4, -1, SKIRT.id, far, landmarks(SKIRT)),
        (4, -1, SKIRT.id, BOX + 200, landmarks(SKIRT)),
        (5, -1, SKIRT.id, BOX, landmarks(SKIRT), 0.2),
    )
    return find_failures(garments, predictions, min_score=0.25)


def test_each_garment_is_found_misplaced_confused_or_missed(failures):
    kinds = ["found", "misplaced", "confused", "missed", "found", "missed"]
    assert failures["kind"].tolist() == kinds
    assert failures["predicted"].tolist() == ["skirt", "skirt", "trousers", "", "skirt", ""]
    assert failures["oks"][0] == pytest.approx(1) and failures["oks"][1] < 0.1
    assert failures["oks"][2:].isna().all()
    assert count_failures(failures) == {"missed": 2, "confused": 1, "misplaced": 1, "found": 2}
    words = [describe_failure(row) for row in failures.to_dict("records")[1:4]]
    assert words == ["skirt, OKS 0.00", "skirt taken for trousers", "skirt not found"]
    assert find_failures(table(), table()).empty


def test_the_report_begins_with_the_worst_image(failures):
    images = pd.DataFrame({"image_id": [1, 2, 3, 4, 5, 6], "file_name": list("abcdef")})
    ordered = worst_first(images, failures)
    assert ordered["file_name"].tolist() == ["c", "d", "e", "b", "a", "f"]
    captions = failure_captions(ordered, failures)
    assert captions[0] == "c: skirt taken for trousers" and captions[-2:] == [
        "a: all found",
        "f: all found",
    ]
    assert failure_rows(failures) == [("skirt", [6, 2, 1, 1, 2]), ("all", [6, 2, 1, 1, 2])]
