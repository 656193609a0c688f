"""Scoring speed: landmark AP by ``fashion_ops.evaluation.oks`` against stock pycocotools, one run.

``python -m bench.scoring [--garments N]``. Full size is DeepFashion2's validation split: 52,490
garments on 32,153 images, 20 predictions a garment, 294 slots. Both sides get the same float32 array
of submitted keypoints and the same ground truth, already parsed and indexed. The clock covers the
computation of the ten numbers (``score_landmarks`` against ``evaluate``, ``accumulate`` and
``summarize``), not JSON parsing, pycocotools' ``loadRes`` or our areas of results. pycocotools gets
array views instead of lists of 882 Python floats, which saves it conversions and lets the full size
fit into 6 GB.

The numbers must agree to 1e-9, or the run fails.
"""

import argparse
import contextlib
import io
import time
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from bench.pycocotools_scores import evaluate_reference
from fashion_ops.evaluation.instances import Detections, GroundTruth, SubmittedPoints
from fashion_ops.evaluation.oks import STATS, score_landmarks
from fashion_ops.taxonomy import CATEGORIES, NUM_LANDMARKS, category

GARMENTS, IMAGES, PER_GARMENT = 52_490, 32_153, 20


def make_truth(rng: np.random.Generator, num_garments: int) -> GroundTruth:
    """Draw garments with DeepFashion2's category shares, at least one an image."""
    num_images = max(1, num_garments * IMAGES // GARMENTS)
    shares = np.array([c.validation_count for c in CATEGORIES], float)
    kinds = 1 + rng.choice(len(CATEGORIES), num_garments, p=shares / shares.sum())
    images = np.sort(
        np.append(np.arange(num_images), rng.integers(0, num_images, num_garments - num_images))
    )
    corner, size = rng.uniform(0, 200, (num_garments, 2)), rng.uniform(40, 450, (num_garments, 2))
    keypoints = np.zeros((num_garments, NUM_LANDMARKS, 3))
    for c in CATEGORIES:
        rows = np.flatnonzero(kinds == c.id)
        points = (
            corner[rows, None] + rng.uniform(0, 1, (len(rows), c.num_landmarks, 2)) * size[rows, None]
        )
        visibility = rng.choice(3, (len(rows), c.num_landmarks), p=(0.15, 0.2, 0.65))
        visibility *= (rng.random(len(rows)) > 0.01)[:, None]
        points *= (visibility > 0)[..., None]
        keypoints[rows, c.slots] = np.concatenate((points, visibility[..., None]), -1)
    return GroundTruth(
        image_ids=np.arange(num_images),
        category_ids=np.array([c.id for c in CATEGORIES]),
        ids=np.arange(1, num_garments + 1),
        image=images,
        category=kinds,
        boxes=np.hstack((corner, size)),
        area=size.prod(1),
        crowd=np.zeros(num_garments, bool),
        ignored=np.logical_not((keypoints[..., 2] > 0).any(1)),
        keypoints=keypoints,
    )


def make_detections(rng: np.random.Generator, truth: GroundTruth) -> Detections:
    """Draw twenty predictions a garment with various errors; better ones tend to score higher."""
    total = len(truth.ids) * PER_GARMENT
    keypoints = np.ones((total, NUM_LANDMARKS, 3), np.float32)
    score = np.empty(total)
    for row, kind in enumerate(truth.category):
        rows = slice(row * PER_GARMENT, (row + 1) * PER_GARMENT)
        box, slots = truth.boxes[row], category(int(kind)).slots
        noise = rng.uniform(0.005, 0.3, PER_GARMENT)
        keypoints[rows, :, :2] = box[:2] + box[2:] / 2
        spread = rng.normal(0, 1, (PER_GARMENT, slots.stop - slots.start, 2)) * noise[:, None, None]
        keypoints[rows, slots, :2] = truth.keypoints[row, slots, :2] + spread * np.sqrt(truth.area[row])
        score[rows] = np.clip(1 - 2 * noise + rng.normal(0, 0.1, PER_GARMENT), 0.01, 1).round(3)
    points = SubmittedPoints(keypoints)
    image, kinds = (np.repeat(v, PER_GARMENT) for v in (truth.image, truth.category))
    return Detections(image, kinds, score, points.area(), points)


def as_coco(truth: GroundTruth, detections: Detections) -> tuple[COCO, COCO]:
    """Both as indexed ``COCO`` data sets, whose keypoints are views of the same arrays."""
    submitted: Any = detections.points
    annotations = [
        {
            "id": int(truth.ids[i]),
            "image_id": int(truth.image[i]),
            "category_id": int(truth.category[i]),
            "bbox": truth.boxes[i].tolist(),
            "area": float(truth.area[i]),
            "iscrowd": 0,
            "num_keypoints": int((truth.keypoints[i, :, 2] > 0).sum()),
            "keypoints": truth.keypoints[i].reshape(-1),
        }
        for i in range(len(truth.ids))
    ]
    results = [
        {
            "id": i + 1,
            "image_id": image,
            "category_id": kind,
            "score": score,
            "area": area,
            "keypoints": k,
        }
        for i, (image, kind, score, area, k) in enumerate(
            zip(
                detections.image.tolist(),
                detections.category.tolist(),
                detections.score.tolist(),
                detections.area.tolist(),
                submitted.keypoints.reshape(len(detections.score), -1),
                strict=True,
            )
        )
    ]
    sets = []
    for records in (annotations, results):
        data: Any = COCO()
        data.dataset = {
            "images": [{"id": i} for i in truth.image_ids.tolist()],
            "categories": [{"id": c.id} for c in CATEGORIES],
            "annotations": records,
        }
        with contextlib.redirect_stdout(io.StringIO()):
            data.createIndex()
        sets.append(data)
    return sets[0], sets[1]


def main() -> None:
    """Time both, compare the numbers, print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--garments", type=int, default=GARMENTS, help="number of garments")
    garments = parser.parse_args().garments
    rng = np.random.default_rng(0)
    truth = make_truth(rng, garments)
    detections = make_detections(rng, truth)
    print(
        f"{garments:,} garments, {len(truth.image_ids):,} images, {len(detections.score):,} predictions"
    )

    start = time.perf_counter()
    ours = score_landmarks(truth, detections)
    our_seconds = time.perf_counter() - start
    coco = as_coco(truth, detections)
    start = time.perf_counter()
    reference = evaluate_reference(*coco)
    their_seconds = time.perf_counter() - start

    difference = max(abs(ours.stats[name] - reference.stats[name]) for name in STATS)
    difference = max(
        difference, *(abs(ours.per_category[c] - v) for c, v in reference.per_category.items())
    )
    print("  ".join(f"{name} {value:.4f}" for name, value in ours.stats.items()))
    print(f"largest difference: {difference:.1e}")
    print(f"pycocotools {their_seconds:.2f} s, fashion-ops {our_seconds:.2f} s")
    print(f"scoring ratio: {their_seconds / our_seconds:.1f}x")
    if difference > 1e-9:
        raise SystemExit("the numbers differ")


if __name__ == "__main__":
    main()
