"""What ``tune_postprocess`` searches with: AP of any setting of the four techniques, and the search.

``Judge`` reads images through the detector once and then tells the AP of a list of settings from what
it keeps (``methods.centernet.candidates``); the AP is that of ``Detector.detect`` with each setting and
of the house's scorers. ``search`` knows nothing of images.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd
import torch

from fashion_ops.catalog.reader import Catalog
from fashion_ops.evaluation.coco import ground_truth
from fashion_ops.evaluation.instances import CategoryPoints, Detections, GroundTruth
from fashion_ops.evaluation.rescoring import box_aps, landmark_aps
from fashion_ops.methods.centernet.candidates import (
    Candidates,
    Doubles,
    find_doubles,
    join,
    read_candidates,
    suppress_many,
)
from fashion_ops.methods.centernet.decode import TOP, grouping_slots
from fashion_ops.methods.centernet.inference import BATCH, Detector
from fashion_ops.methods.parts.crops import apply_matrices, invert_matrices
from fashion_ops.params import PostProcess
from fashion_ops.progress import track
from fashion_ops.taxonomy import CATEGORIES

Measure = Callable[[Sequence[PostProcess]], np.ndarray]  # settings to their landmark AP


@dataclass(frozen=True)
class Reading:
    """Settings that share their switches: the sigmas that may occur, and which techniques are on."""

    post: PostProcess
    sigma_center: tuple[float, ...]
    sigma_landmark: tuple[float, ...]

    @classmethod
    def of(
        cls, post: PostProcess, sigma_center: Iterable[float], sigma_landmark: Iterable[float]
    ) -> "Reading":
        """Without technique 2 there is one sigma only: none."""
        if not post.smooth:
            return cls(post, (0.0,), (0.0,))
        return cls(post, tuple(sigma_center), tuple(sigma_landmark))


@dataclass(frozen=True)
class Judge:
    """Images as a reading's candidates, and the garments that are on them."""

    reading: Reading
    candidates: Candidates  # in image pixels
    ends: np.ndarray  # (U, 4) boxes within the image
    doubles: Doubles
    image: np.ndarray  # (U,) coco_id
    truth: GroundTruth
    threshold: float

    def landmark_aps(self, posts: Sequence[PostProcess]) -> np.ndarray:
        """Landmark AP of each setting, own boxes."""
        return self._each(posts, lambda found, scores: landmark_aps(self.truth, found, scores))

    def box_aps(self, posts: Sequence[PostProcess]) -> np.ndarray:
        """Box AP of each setting."""
        return self._each(posts, lambda found, scores: box_aps(self.truth, found, self.ends, scores))

    def _each(
        self, posts: Sequence[PostProcess], ap: Callable[[Detections, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Settings with the same landmarks are judged together."""
        out = np.zeros(len(posts))
        places = pd.DataFrame([(p.sigma_landmark, p.gamma) for p in posts]).groupby([0, 1]).indices
        for rows in places.values():
            scores = suppress_many(np.stack([self._scores(posts[r]) for r in rows]), self.doubles)
            out[rows] = ap(self._found(posts[rows[0]]), np.where(scores < self.threshold, -1, scores))
        return out

    def _scores(self, post: PostProcess) -> np.ndarray:
        center = self.reading.sigma_center.index(post.sigma_center) if post.smooth else 0
        return self.candidates.scores(center, self._sigma_landmark(post), post)

    def _sigma_landmark(self, post: PostProcess) -> int:
        return self.reading.sigma_landmark.index(post.sigma_landmark) if post.smooth else 0

    def _found(self, post: PostProcess) -> Detections:
        c = self.candidates
        own = [CATEGORIES[k - 1] for k in c.category]
        points = CategoryPoints(
            landmarks=c.points(self._sigma_landmark(post), post),
            first=np.array([k.slots.start for k in own], int),
            count=np.array([k.num_landmarks for k in own], int),
            center=(self.ends[:, :2] + self.ends[:, 2:]) / 2,
        )
        nothing = np.zeros(len(own))  # neither the scores nor the areas are looked at
        return Detections(self.image, c.category, nothing, nothing, points)


def read_images(
    detector: Detector,
    catalog: Catalog,
    images: pd.DataFrame,
    garments: pd.DataFrame,
    readings: Sequence[Reading],
) -> list[Judge]:
    """Run the detector on images once, and make a judge of each reading.

    Memory: a batch's maps, and of each image at most ``TOP`` candidates a ``sigma_center``: 39 points
    a ``sigma_landmark``, 6.5 kB with 21 of them.

    Args:
        detector: its ``post`` says whether maps are fused with those of the mirrored image.
        catalog: where the images are.
        images: rows of the catalog's images, of one split.
        garments: all garments on them.
        readings: switches and sigmas.
    """
    slots = grouping_slots(detector.grouping)
    threshold = detector.spec["score_threshold"]
    ids = images["image_id"].tolist()
    parts: list[list[Candidates]] = [[] for _ in readings]
    ends: list[list[np.ndarray]] = [[] for _ in readings]
    for start in track(range(0, len(ids), BATCH), "heatmaps", -(-len(ids) // BATCH)):
        pixels = [catalog.image(i) for i in ids[start : start + BATCH]]
        fitted, matrices = detector.fit(pixels)
        limits = np.array([[p.shape[1] - 1, p.shape[0] - 1] * 2 for p in pixels])
        with torch.inference_mode():
            maps = detector.maps(fitted)
            for n, r in enumerate(readings):
                found = read_candidates(
                    maps,
                    slots.to(maps["hm"].device),
                    r.post,
                    r.sigma_center,
                    r.sigma_landmark,
                    threshold,
                    TOP,
                )
                found = _to_images(found, invert_matrices(matrices))
                ends[n].append(found.boxes.clip(0, limits[found.image]).astype(np.float32))
                parts[n].append(replace(found, image=found.image + start))
    truth = ground_truth(images, garments)
    coco_ids = images["coco_id"].to_numpy()
    judges = []
    for r, own, boxes in zip(readings, parts, ends, strict=True):
        c = join(own)
        doubles = find_doubles(c.image, c.category, c.boxes, r.post.nms)
        judges.append(Judge(r, c, np.concatenate(boxes), doubles, coco_ids[c.image], truth, threshold))
    return judges


def _to_images(c: Candidates, inverse: np.ndarray) -> Candidates:
    """From input to image pixels."""
    own = inverse[c.image]

    def move(points: np.ndarray) -> np.ndarray:
        return (
            apply_matrices(own, points.reshape(len(own), -1, 2))
            .reshape(points.shape)
            .astype(np.float32)
        )

    return replace(
        c, boxes=move(c.boxes), coarse=move(c.coarse), refined=np.stack([move(p) for p in c.refined])
    )


def grid(step: float, start: float) -> tuple[float, ...]:
    """Values from 0 to 1, and where the search starts."""
    return tuple(sorted({*np.arange(0, 1 + 1e-9, step).round(6).tolist(), start}))


@dataclass(frozen=True)
class Searched:
    """What a search found: the best setting, and the AP of all that were tried, parameter by parameter.

    ``tried`` holds the 21 settings of gamma and of alpha, and those of each sigma with the other at its
    best; ``sigmas`` is AP (sigma_landmark, sigma_center), None where technique 2 is off.
    """

    best: PostProcess
    tried: dict[str, list[PostProcess]]
    sigmas: np.ndarray | None


def search(measure: Measure, start: PostProcess, step: float) -> Searched:
    """Both sigmas together, then gamma, then alpha, each with the best found so far (DeepMark++ 4.1).

    Of equally good values the one nearest to the start wins, so a parameter that changes nothing stays.
    What a technique that is off would need is not searched.
    """
    best, sigmas = start, None
    tried: dict[str, list[PostProcess]] = {}
    if start.smooth:
        centers, landmarks = grid(step, start.sigma_center), grid(step, start.sigma_landmark)
        settings = [
            start.model_copy(update={"sigma_landmark": a, "sigma_center": b})
            for a, b in product(landmarks, centers)
        ]
        aps = measure(settings)
        best = _nearest_best(settings, aps, start)
        sigmas = aps.reshape(len(landmarks), len(centers))
        tried["sigma_center"] = [best.model_copy(update={"sigma_center": b}) for b in centers]
        tried["sigma_landmark"] = [best.model_copy(update={"sigma_landmark": a}) for a in landmarks]
    for name, is_on in (("gamma", start.blend), ("alpha", start.rescore)):
        if is_on:
            values = grid(step, getattr(start, name))
            tried[name] = [best.model_copy(update={name: v}) for v in values]
            best = _nearest_best(tried[name], measure(tried[name]), start)
    return Searched(best, tried, sigmas)


def _nearest_best(settings: list[PostProcess], aps: np.ndarray, start: PostProcess) -> PostProcess:
    names = ("sigma_center", "sigma_landmark", "gamma", "alpha")

    def far(post: PostProcess) -> float:
        return round(sum((getattr(post, n) - getattr(start, n)) ** 2 for n in names), 9)

    return min(zip(settings, aps, strict=True), key=lambda pair: (-pair[1], far(pair[0])))[0]
