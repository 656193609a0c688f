"""A category without training or validation data: named beside the numbers, not hidden in a mean."""

import json
import logging

import numpy as np
import pandas as pd
import pytest

from fashion_ops.evaluation.tables import evaluate_tables
from fashion_ops.reports.report import ReportContent, write_report
from fashion_ops.steps.evaluate import metrics_json, warn_of_missing
from fashion_ops.taxonomy import CATEGORY_NAMES, category

SEEN = {1, 3, 8, 9, 13}  # of the evaluated garments
UNTRAINED = ["skirt", "sling_dress"]


@pytest.fixture(scope="module")
def evaluation(images, garments, predictions):
    """Skirts and sling dresses are evaluated but untrained; eight categories have no ground truth."""
    assert set(garments["category_id"]) == SEEN
    others = garments.head(8).assign(category_id=np.int8([2, 4, 5, 6, 7, 10, 11, 12]))
    trained = pd.concat([garments[~garments["category_id"].isin([9, 13])], others])
    predicted = predictions.copy()
    lost = predicted["category_id"].isin([9, 13])
    predicted.loc[lost, "landmarks"] = predicted.loc[lost, "landmarks"].map(
        lambda v: v + np.float32(500)
    )
    return evaluate_tables(
        images, garments, {"refined": predicted}, {}, detector=predicted, train_garments=trained
    )


def test_both_kinds_are_named(evaluation):
    assert evaluation.untrained == UNTRAINED
    assert evaluation.without_ground_truth == [c for c in CATEGORY_NAMES if category(c).id not in SEEN]
    written = json.loads(json.dumps(metrics_json(evaluation)))
    assert written["categories_without_training"] == UNTRAINED
    assert written["categories_without_validation"] == evaluation.without_ground_truth
    assert written["per_category"]["skirt"]["train"] == 0
    assert written["per_category"]["skirt"]["validation"] > 0


def test_the_mean_is_the_official_one(evaluation):
    """Over the categories with ground truth, also those without training garments."""
    table = evaluation.per_category["refined"]
    assert (table[evaluation.without_ground_truth] == -1).all()
    known = table.drop(evaluation.without_ground_truth)
    assert len(known) == len(SEEN)
    assert evaluation.methods.loc["refined", "AP"] == pytest.approx(known.mean())
    assert known[UNTRAINED].max() < 0.001 < known.drop(UNTRAINED).min()


def test_the_report_says_so(evaluation, tmp_path):
    page = write_report(tmp_path, evaluation, ReportContent(dataset="x", num_images=25)).read_text(
        encoding="utf-8"
    )
    page = " ".join(page.split())
    assert f"No training garments: {', '.join(category(c).label for c in UNTRAINED)}." in page
    assert "the means are over the other 5 categories" in page


def test_the_log_says_so(evaluation, caplog):
    with caplog.at_level(logging.WARNING):
        warn_of_missing(evaluation)
    assert "no training garments, counted in the mean: skirt, sling_dress" in caplog.text
    assert "no garments to evaluate, not in the mean: long_sleeve_top" in caplog.text


def test_nothing_is_said_where_nothing_was_counted(images, garments, tmp_path):
    uncounted = evaluate_tables(images, garments, {}, {})
    assert uncounted.untrained == []
    page = write_report(tmp_path, uncounted, ReportContent(dataset="x", num_images=25)).read_text(
        encoding="utf-8"
    )
    assert "No training garments" not in page and "No garments to judge" in page
