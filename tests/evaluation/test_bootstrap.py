"""Resampled AP against stock pycocotools on images that really were copied; the interval by hand."""

import numpy as np
import pandas as pd
import pytest
from coco_export import annotations_dict, results
from small_catalog import make_garments, make_images, make_predictions

from bench.pycocotools_scores import reference_scores
from fashion_ops.evaluation.bootstrap import compare, match_categories, resampled_aps
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import score_landmarks


def crowded(garments: pd.DataFrame, seed: int, noise: float) -> pd.DataFrame:
    """Two predictions a garment; many scores are equal, though not within an image."""
    rng = np.random.default_rng(seed)
    both = pd.concat(
        [make_predictions(garments, rng, noise), make_predictions(garments, rng, 3 * noise)]
    )
    score = np.round(both["score"], 1) + 0.01 * both.groupby("image_id").cumcount()
    return both.assign(score=score.astype(np.float32)).reset_index(drop=True)


@pytest.fixture(scope="module")
def new(garments):
    return crowded(garments, 4, 8.0)


@pytest.fixture(scope="module")
def old(garments):
    return crowded(garments, 5, 10.0)


def copied(table: pd.DataFrame, images: pd.DataFrame, weights: np.ndarray) -> pd.DataFrame:
    """Rows of each image ``weights`` times, under new ids, in the order of the originals."""
    times = dict(zip(np.sort(images["coco_id"]), weights, strict=True))
    coco = dict(zip(images["image_id"], images["coco_id"], strict=True))
    parts = []
    for image_id, rows in table.groupby("image_id", sort=False):
        for copy in range(times[coco[image_id]]):
            renamed = rows.assign(image_id=image_id * 100 + copy)
            if "coco_id" in renamed:
                renamed = renamed.assign(coco_id=renamed["coco_id"] * 100 + copy)
            parts.append(renamed)
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("seed", range(4))
def test_an_image_drawn_three_times_counts_as_three_copies_of_it(images, garments, new, seed):
    count = len(images)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count))
    assert weights.max() >= 3 and weights.min() == 0
    more = copied(images, images, weights)
    reference = reference_scores(
        annotations_dict(more, copied(garments, images, weights)),
        list(results(copied(new, images, weights), more)),
    )
    truth = ground_truth(images, garments)
    (aps,) = resampled_aps(match_categories(truth, detections(new, images)), weights[None])
    expected = [reference.per_category[int(c)] for c in truth.category_ids]
    np.testing.assert_allclose(np.nan_to_num(aps, nan=-1), expected, rtol=1e-12)
    assert reference.stats["AP"] == pytest.approx(np.nanmean(aps), rel=1e-12)


def test_the_interval_is_that_of_scoring_each_resample_from_scratch(images, garments, new, old):
    truth = ground_truth(images, garments)
    pair = [detections(table, images) for table in (new, old)]
    made = compare(truth, *pair, resamples=12, confidence=0.8, seed=3)
    assert made.overall.new == pytest.approx(score_landmarks(truth, pair[0]).stats["AP"], rel=1e-12)
    assert made.overall.old == pytest.approx(score_landmarks(truth, pair[1]).stats["AP"], rel=1e-12)
    count, gaps = len(images), []
    for weights in np.random.default_rng(3).multinomial(count, np.full(count, 1 / count), 12):
        more, labels = copied(images, images, weights), copied(garments, images, weights)
        aps = [
            score_landmarks(
                ground_truth(more, labels), detections(copied(table, images, weights), more)
            ).stats["AP"]
            for table in (new, old)
        ]
        gaps.append(aps[0] - aps[1])
    low, high = np.percentile(gaps, [10, 90])
    assert (made.overall.low, made.overall.high) == pytest.approx((low, high), rel=1e-9)


def test_pairing_takes_the_luck_of_the_draw_out(images, garments, new):
    """The same predictions differ by nothing, whatever was drawn; one bad image shows as a fall."""
    truth, predicted = ground_truth(images, garments), detections(new, images)
    same = compare(truth, predicted, predicted, resamples=50, confidence=0.95, seed=0)
    assert (same.overall.difference, same.overall.low, same.overall.high) == (0, 0, 0)
    assert np.isnan(same.per_category[2].low) and np.isnan(same.per_category[2].new)  # none of it here
    worse = new.copy()
    hurt = worse["image_id"] == worse["image_id"].iloc[0]
    worse.loc[hurt, "landmarks"] = worse.loc[hurt, "landmarks"].map(lambda p: p + np.float32(500))
    fall = compare(truth, detections(worse, images), predicted, resamples=50, confidence=0.95, seed=0)
    assert fall.overall.difference < 0 and fall.overall.low < fall.overall.difference
    assert fall.overall.high <= 0  # no draw makes it better


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """40 samples of one population: its difference (0: equal models) lies inside in most of them."""
    inside = 0
    for seed in range(40):
        rng = np.random.default_rng(100 + seed)
        images = make_images(30)
        garments = make_garments(images, rng)
        truth = ground_truth(images, garments)
        pair = [detections(make_predictions(garments, rng, 8.0), images) for _ in range(2)]
        made = compare(truth, *pair, resamples=100, confidence=0.9, seed=seed).overall
        inside += made.low <= 0 <= made.high
    assert inside >= 31  # 36 expected; fewer than 31 in one of 100 repetitions
