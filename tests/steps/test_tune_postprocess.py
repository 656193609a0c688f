"""The grid search: finds what was hidden, scores like the public way, reaches what reads its choice."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from fashion_ops.catalog.reader import Catalog, draw_subset
from fashion_ops.evaluation.boxes import score_boxes
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.evaluation.threshold import best_threshold, right_detections
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.inference.postprocess_search import SearchSpace, build_scorers, grid, search
from fashion_ops.inference.predictions import DetectBlock, detect
from fashion_ops.inference.predictor import Predictor
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.centernet.nms import group_overlapping, nms, nms_many
from fashion_ops.methods.centernet.postprocess_file import (
    MIN_SCORE,
    read_postprocess,
    read_threshold,
    write_postprocess,
    write_threshold,
)
from fashion_ops.methods.detection.sources import DetectedBoxes
from fashion_ops.methods.parts.blocks import loaded
from fashion_ops.methods.parts.device import CPU
from fashion_ops.params import Params, PostProcess
from fashion_ops.steps import aggregate, evaluate, ingest, synthesize, train_detector, tune_postprocess
from fashion_ops.taxonomy import NUM_CATEGORIES, category
from fashion_ops.workspace import Workspace

START = PostProcess()
SIGMAS = (0.0, 0.45, 0.9)

# The search itself, on objectives with a known answer


def hidden(**best: float) -> Any:
    """An objective that is largest at ``best`` and falls with the distance; it counts its settings."""
    asked: list[PostProcess] = []

    def measure(posts: Any) -> np.ndarray:
        asked.extend(posts)
        return np.array([-sum((getattr(p, k) - v) ** 2 for k, v in best.items()) for p in posts])

    return measure, asked


def test_search_finds_the_hidden_optimum_with_the_papers_number_of_experiments() -> None:
    best = {"sigma_center": 0.25, "sigma_landmark": 0.65, "gamma": 0.8, "alpha": 0.75}
    measure, asked = hidden(**best)
    found = search(measure, START, 0.05)
    assert found.best == START.model_copy(update=best)
    assert len(asked) == 21 * 21 + 21 + 21
    assert found.sigmas is not None and found.sigmas.shape == (21, 21)
    row, column = np.unravel_index(found.sigmas.argmax(), found.sigmas.shape)
    assert (grid(0.05, 0)[row], grid(0.05, 0)[column]) == (0.65, 0.25)  # rows are sigma_landmark


def test_both_sigmas_are_searched_together() -> None:
    """A peak that neither sigma alone leads to."""

    def measure(posts: Any) -> np.ndarray:
        return np.array([float((p.sigma_center, p.sigma_landmark) == (0.1, 0.2)) for p in posts])

    best = search(measure, START, 0.05).best
    assert (best.sigma_center, best.sigma_landmark) == (0.1, 0.2)


def test_of_equals_the_nearest_to_the_start_wins() -> None:
    flat = search(lambda posts: np.zeros(len(posts)), START, 0.05)
    assert flat.best == START
    odd = START.model_copy(update={"gamma": 0.333})  # a start beside the grid is tried too
    assert search(lambda posts: np.zeros(len(posts)), odd, 0.05).best == odd
    wide = search(lambda posts: np.array([float(p.alpha <= 0.4) for p in posts]), START, 0.05)
    assert wide.best.alpha == 0.4


@pytest.mark.parametrize(
    ("switch", "left"),
    [
        ("smooth", {"gamma", "alpha"}),
        ("blend", {"sigma_center", "sigma_landmark", "alpha"}),
        ("rescore", {"sigma_center", "sigma_landmark", "gamma"}),
        ("mask", {"sigma_center", "sigma_landmark", "gamma", "alpha"}),
    ],
)
def test_a_technique_that_is_off_is_not_searched(switch: str, left: set[str]) -> None:
    start = START.model_copy(update={switch: False})
    measure, asked = hidden(sigma_center=0, sigma_landmark=0, gamma=0, alpha=0)
    found = search(measure, start, 0.25)
    assert set(found.tried) == left
    for name in {"sigma_center", "sigma_landmark", "gamma", "alpha"} - left:
        assert {getattr(post, name) for post in [*asked, found.best]} == {getattr(start, name)}
    assert (found.sigmas is None) == (switch == "smooth")


# The fast way against the plain one: detect with every setting, then score


@pytest.fixture(scope="module")
def scene() -> SimpleNamespace:
    """A detector whose maps are random, and a dozen images, each in two colours of its own."""
    side, groups, count = 16, 81, 12
    random = torch.Generator().manual_seed(5)

    def rand(channels: int) -> torch.Tensor:
        return torch.rand(2 * count, channels, side, side, generator=random)

    maps = {
        "hm": 0.1 * rand(NUM_CATEGORIES) + 0.9 * (rand(NUM_CATEGORIES) > 0.99) * rand(NUM_CATEGORIES),
        "wh": 2 + 7 * rand(2),
        "hps": 8 * rand(2 * groups) - 4,
        "reg": rand(2),
        "hm_hp": rand(groups) ** 4,
        "hp_offset": rand(2),
    }

    def network(fitted: torch.Tensor) -> dict[str, torch.Tensor]:
        left_of_middle = fitted[:, 0, 2 * side, 2 * side - 5].long()  # tells image and mirrored one
        return {name: values[left_of_middle // 10] for name, values in maps.items()}

    spec = {"grouping": "agg81", "backbone": "tiny", "input_size": 4 * side, "score_threshold": 0.15}
    detector = Detector(network, spec, START)
    sizes = [(60 + 5 * n, 90 - 3 * n) for n in range(count)]

    def image(image_id: int) -> np.ndarray:
        n = image_id - 100
        height, width = sizes[n]
        halves = [
            np.full((height, w), 20 * n + k, np.uint8)
            for w, k in ((width // 2, 3), (width - width // 2, 13))
        ]
        return np.hstack(halves)[..., None].repeat(3, -1)

    def image_bytes(image_id: int) -> bytes:
        return cv2.imencode(".png", image(image_id))[1].tobytes()

    catalog = SimpleNamespace(image=image, image_bytes=image_bytes)
    images = pd.DataFrame(
        {
            "image_id": 100 + np.arange(count),
            "split": "validation",
            "coco_id": 7 + 3 * np.arange(count)[::-1],
        }
    )
    return SimpleNamespace(detector=detector, catalog=catalog, images=images)


def label(found: pd.DataFrame) -> pd.DataFrame:
    """Garments where forty of the detections lie, roughly."""
    rng = np.random.default_rng(2)
    found = found[[(box[2:] - box[:2]).min() > 10 for box in found["box"]]]
    garments = found.iloc[np.sort(rng.choice(len(found), 40, replace=False))].reset_index(drop=True)
    assert garments["category_id"].nunique() > 6
    labels = []
    for kind, points in zip(garments["category_id"], garments["landmarks"], strict=True):
        own = points.reshape(-1, 3) + rng.normal(0, 1.5, (category(int(kind)).num_landmarks, 3))
        own[:, 2] = rng.integers(0, 3, len(own))
        labels.append(own.astype(np.float32).ravel())
    return garments.assign(landmarks=labels, split="validation")


SETTINGS = [
    {},
    {"sigma_center": 0.9, "sigma_landmark": 0.45, "gamma": 0.3, "alpha": 0.25},
    {"sigma_center": 0.0, "sigma_landmark": 0.0, "gamma": 1.0, "alpha": 1.0},
    {"sigma_center": 0.0, "sigma_landmark": 0.9, "gamma": 0.0, "alpha": 0.05},
]
SWITCHES = [
    {},
    {"nms": "soft"},
    {"nms": "none", "flip": False},
    {"mask": False},
    {"smooth": False, "mask": False, "nms": "soft"},
    {"blend": False, "rescore": False},
    {"smooth": False, "mask": False, "blend": False, "rescore": False},
]


@pytest.mark.parametrize(
    "switches", SWITCHES, ids=lambda s: ", ".join(map(str, s.values())) or "all on"
)
def test_the_fast_way_equals_detecting_and_scoring(
    scene: SimpleNamespace, switches: dict[str, Any]
) -> None:
    start = START.model_copy(update=switches)
    detector = scene.detector.with_post(start)
    images = scene.images
    garments = label(detect(DetectedBoxes(detector, scene.catalog.image), images, 100))
    space = SearchSpace.of(start, SIGMAS, SIGMAS)
    threshold = detector.spec["score_threshold"]
    runner = loaded(detector)
    [scorer] = build_scorers(runner, scene.catalog, images, garments, [space], threshold)
    posts = [start.model_copy(update=values) for values in SETTINGS]
    fast, fast_boxes = scorer.landmark_aps(posts), scorer.box_aps(posts)
    for n, post in enumerate(posts):
        found = detect(DetectedBoxes(detector.with_post(post), scene.catalog.image), images, 100)
        truth = ground_truth(images, garments)
        plain = score_landmarks(truth, detections(found, images)).stats["AP"]
        assert fast[n] == pytest.approx(plain, abs=1e-6)
        plain_boxes = score_boxes(images, garments, found).stats["AP"]
        assert fast_boxes[n] == pytest.approx(plain_boxes, abs=1e-6)
    centers = detector.with_post(posts[0].model_copy(update={"rescore": False}))
    found = detect(DetectedBoxes(centers, scene.catalog.image), images, 100)
    coco = found["image_id"].map(dict(zip(images["image_id"], images["coco_id"], strict=True)))
    kinds, scores = (found[name].to_numpy() for name in ("category_id", "score"))
    boxes = np.stack(found["box"].to_list())
    right = right_detections(truth, coco.to_numpy(), kinds, boxes, scores)
    assert right.any()
    plain_threshold = best_threshold(scores, right, len(garments))
    assert vars(scorer.threshold_of(posts[0])) == pytest.approx(vars(plain_threshold), abs=1e-6)
    assert fast.max() > 0.02
    if switches.get("smooth", True) or switches.get("rescore", True):
        assert len(set(fast.round(6))) > 1  # the settings differ, or there is nothing to compare


def test_suppression_of_many_scorings_equals_one_by_one(scene: SimpleNamespace) -> None:
    """Boxes that overlap three deep, scores with garments that are not there."""
    rng = np.random.default_rng(4)
    corner = rng.uniform(0, 30, (40, 2))
    boxes = np.hstack([corner, corner + rng.uniform(20, 40, (40, 2))]).astype(np.float32)
    image, kinds = np.repeat([0, 1], 20), rng.integers(1, 3, 40)
    scores = rng.uniform(0.01, 1, (6, 40)).astype(np.float32)
    scores[1:, ::3] = -1
    for method in ("hard", "soft", "none"):
        post = START.model_copy(update={"nms": method})
        many = nms_many(scores, group_overlapping(image, kinds, boxes, method))
        for row, own in zip(many, scores, strict=True):
            wanted = np.full(40, -1, np.float32)
            for p in (0, 1):
                at = np.flatnonzero((image == p) & (own >= 0))
                kept, final = nms(*(torch.from_numpy(x[at]) for x in (boxes, own, kinds)), post)
                wanted[at[kept.numpy()]] = final.numpy()
            np.testing.assert_allclose(row, wanted, atol=1e-6)
        assert method == "none" or (many != scores).any()


# The step, on a wardrobe of a few images


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    ws = Workspace(tmp_path_factory.mktemp("tuning"))
    for step in (synthesize, ingest, aggregate, train_detector):
        step.run(PARAMS, ws)
    return ws


PARAMS = Params.model_validate(
    {
        "synthesize": {"train": 8, "validation": 12, "size": 96, "imbalance": 0.0},
        "train_detector": {
            "epochs": 1,
            "batch_size": 4,
            "input_size": 64,
            "backbone": "tiny",
        },
        "tune_postprocess": {"images": 9, "step": 0.25},
    }
)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_step_writes_its_choice_with_the_same_bytes_each_time(ws: Workspace) -> None:
    metrics = tune_postprocess.run(PARAMS, ws)
    first = contents(ws.postprocess)
    assert set(first) - {"threshold.json"} == {
        *("postprocess.json", "metrics.json", "search.csv"),
        *("sigmas.csv", "sigmas.png", "curves.png"),
    }
    assert ("threshold.json" in first) == ("threshold" in metrics)
    assert read_threshold(ws.postprocess) == pytest.approx(metrics.get("threshold", 0.3), abs=1e-4)
    assert metrics["pictures"] == 9
    assert metrics["AP tuned"] >= metrics["AP at the start"] >= 0
    chosen = read_postprocess(ws.postprocess)
    assert {n: metrics[n] for n in tune_postprocess.PARAMETERS} == chosen.model_dump(
        include=set(tune_postprocess.PARAMETERS)
    )
    table = pd.read_csv(ws.postprocess / "search.csv")
    counts = {"sigma_center": 6, "sigma_landmark": 6, "gamma": 5, "alpha": 6}  # 5, and an odd start
    assert table["parameter"].value_counts().to_dict() == counts
    assert pd.read_csv(ws.postprocess / "sigmas.csv", index_col=0).shape == (6, 6)
    tune_postprocess.run(PARAMS, ws)
    assert contents(ws.postprocess) == first


def test_images_are_drawn_by_the_seed(ws: Workspace) -> None:
    images = Catalog(ws.catalog).images
    drawn = [tuple(draw_subset(images, "validation", 9, seed)["image_id"]) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 9 and list(drawn[0]) == sorted(drawn[0])
    assert len(draw_subset(images, "validation", 99, 0)) == 12


def test_a_split_without_garments_is_named(ws: Workspace) -> None:
    section = PARAMS.tune_postprocess.model_copy(update={"split": "test"})
    with pytest.raises(ValueError, match="no garments on 0 images of split 'test'"):
        tune_postprocess.run(PARAMS.model_copy(update={"tune_postprocess": section}), ws)


class Reached(Exception):
    """Stops a step where the test has seen enough."""


def test_the_choice_reaches_evaluation_and_prediction(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    post = PostProcess(gamma=0.15, sigma_center=0.2, nms="soft")
    bundle = Workspace(tmp_path)
    bundle.detector.parent.mkdir()
    (tmp_path / "data").mkdir()
    bundle.detector.symlink_to(ws.detector)
    bundle.catalog.symlink_to(ws.catalog)
    bundle.postprocess.mkdir()
    write_postprocess(bundle.postprocess, post)
    monkeypatch.setattr(LandmarkPipeline, "load", lambda *_: None)
    monkeypatch.setattr(evaluate, "held_out_garments", lambda *_: None)  # no landmarker either
    for_boxes = post.model_copy(update={"rescore": False})  # the cascade's own scores come on top
    detector = Predictor.load(bundle.detector.parent, CPU).detector
    assert isinstance(detector, Detector) and detector.post == for_boxes
    assert Predictor.load(bundle.detector.parent, CPU).min_score == MIN_SCORE == 0.3
    write_threshold(bundle.postprocess, 0.4123, {"images": 9})
    assert Predictor.load(bundle.detector.parent, CPU).min_score == 0.4123

    def stop(block: DetectBlock, models: Any) -> None:
        assert [d.post for d in models.values()] == [post, for_boxes]
        raise Reached

    monkeypatch.setattr(DetectBlock, "predict", stop)
    with pytest.raises(Reached):
        evaluate.run(PARAMS, bundle)


def test_a_bundle_without_or_with_a_broken_choice_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no postprocess\.json here.*tune_postprocess"):
        read_postprocess(tmp_path)
    (tmp_path / "postprocess.json").write_text(json.dumps({"gamma": 1.5}))
    with pytest.raises(ValueError, match=r"postprocess\.json: gamma: .*1.*got 1\.5"):
        read_postprocess(tmp_path)
    for wrong in ("1.5", "true", '"high"'):
        (tmp_path / "threshold.json").write_text(f'{{"min_score": {wrong}}}')
        with pytest.raises(ValueError, match=r"threshold\.json: min_score is .*from 0 to 1"):
            read_threshold(tmp_path)
