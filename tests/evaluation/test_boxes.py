"""Box AP against stock pycocotools."""

import contextlib
import io

import numpy as np
import pandas as pd
import pytest
from coco_export import annotations_dict
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fashion_ops.evaluation.boxes import score_boxes


def test_equals_pycocotools(images, garments, predictions):
    crowd = pd.concat([predictions, predictions.sample(30, random_state=0), predictions.head(9)])
    boxes = np.stack(list(crowd["box"])) + np.random.default_rng(0).normal(0, 9, (len(crowd), 4))
    crowd = crowd.assign(box=list(boxes.astype(np.float32)))
    crowd["score"] = crowd["score"].round(1)  # ties
    scores = score_boxes(images, garments, crowd)
    coco_id = images.set_index("image_id")["coco_id"]
    results = [
        {
            "image_id": int(coco_id[row.image_id]),
            "category_id": int(row.category_id),
            "bbox": [float(v) for v in (*row.box[:2], *(row.box.astype(float)[2:] - row.box[:2]))],
            "score": float(row.score),
        }
        for row in crowd.itertuples()
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = annotations_dict(images, garments)
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    assert list(scores.stats.values()) == pytest.approx(evaluator.stats.tolist(), abs=1e-9)
    assert 0.1 < scores.stats["AP"] < 0.9
    values = evaluator.eval["precision"][:, :, 8, 0, -1]
    assert scores.per_category[9] == pytest.approx(values[values > -1].mean(), abs=1e-9)


def test_perfect_boxes_and_absent_categories(images, garments):
    perfect = garments[["image_id", "garment_id", "category_id", "box", "landmarks"]].assign(
        score=np.float32(1)
    )
    scores = score_boxes(images, garments, perfect)
    assert scores.stats["AP"] == pytest.approx(1)
    assert scores.per_category[2] == -1
    assert scores.per_category[9] == pytest.approx(1)


def test_no_predictions(images, garments, predictions):
    assert score_boxes(images, garments, predictions.head(0)).stats["AP"] == 0
