"""Decode, flip, suppression and scales against the slow, plain reference, on random heatmaps."""

from dataclasses import dataclass
from typing import Any

import centernet_reference as plain
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fashion_ops.methods.centernet.decode import TOP, Decoded, decode, decode_fixed
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.centernet.landmarks import smooth
from fashion_ops.methods.centernet.nms import NMS_IOU, nms
from fashion_ops.methods.centernet.test_time_augmentation import merge_flipped
from fashion_ops.params import PostProcess
from fashion_ops.taxonomy import CATEGORIES, load_grouping

torch.set_num_threads(1)
OFF = PostProcess(smooth=False, mask=False, blend=False, rescore=False, nms="none", flip=False)
TECHNIQUES = ("smooth", "mask", "blend", "rescore")
CLOSE = 1e-9  # choices narrower than this are a matter of rounding
quick = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking random maps says nothing
)


@dataclass
class Scene:
    """Maps of a batch in float64, and which channels each category's landmarks have."""

    maps: dict[str, torch.Tensor]
    own: list[list[int]]

    @property
    def slots(self) -> torch.Tensor:
        most = max(map(len, self.own))
        return torch.tensor([c + [-1] * (most - len(c)) for c in self.own])

    def image(self, n: int) -> plain.Maps:
        return {name: value[n].numpy() for name, value in self.maps.items()}

    def float(self) -> "Scene":
        """The same, representable in float32."""
        return Scene({k: v.float() for k, v in self.maps.items()}, self.own)


def heat(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Heatmaps: noise; a few peaks; plateaus, whose cells tie; or nothing at all."""
    if kind == "plateaus":
        return rng.integers(0, 5, shape) / 4
    if kind == "empty":
        return np.zeros(shape)
    if kind == "noise":
        return rng.random(shape)
    out = rng.random(shape) * 0.05
    _, _, h, w = shape
    y, x = np.mgrid[:h, :w]
    for plane in out.reshape(-1, h, w):
        for _ in range(rng.integers(0, 4)):
            cy, cx, sigma = rng.integers(h), rng.integers(w), rng.uniform(0.4, 2)
            peak = rng.random() * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
            np.maximum(plane, peak, out=plane)
    return out


KINDS = ["noise", "peaks", "empty"]


@st.composite
def scenes(draw: st.DrawFn, ties: bool = True, largest: int = 6) -> Scene:
    """Without ``ties`` there are no plateaus: smoothed, their cells tie but for rounding."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    b, k = draw(st.integers(1, 2)), draw(st.integers(1, 5))
    h, w = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    kind = st.sampled_from([*KINDS, "plateaus"] if ties else KINDS)
    kinds = draw(st.tuples(kind, kind))
    spread = max(h, w)
    arrays = {
        "hm": heat(rng, kinds[0], (b, 13, h, w)),
        "hm_hp": heat(rng, kinds[1], (b, k, h, w)),
        "wh": rng.uniform(-0.2, 1.2, (b, 2, h, w)) * spread,  # an untrained network's may be negative
        "reg": rng.uniform(-0.3, 1.3, (b, 2, h, w)),
        "hps": rng.uniform(-0.7, 0.7, (b, 2 * k, h, w)) * spread,  # also off the map
        "hp_offset": rng.uniform(-0.3, 1.3, (b, 2, h, w)),
    }
    own = [rng.permutation(k)[: rng.integers(1, k + 1)].tolist() for _ in range(13)]
    return Scene({name: torch.from_numpy(a) for name, a in arrays.items()}, own)


SHARE = st.sampled_from([0.0, 0.25, 0.45, 0.65, 0.9, 1.0])


@st.composite
def posts(draw: st.DrawFn, on: tuple[str, ...] = TECHNIQUES) -> PostProcess:
    numbers = {n: draw(SHARE) for n in ("sigma_center", "sigma_landmark", "gamma", "alpha")}
    return OFF.model_copy(update={**dict.fromkeys(on, True), **numbers})


def check(found: Decoded, scene: Scene, post: PostProcess, min_score: float, tolerance: float) -> None:
    """What was decoded is what the reference finds; ties at the border of ``TOP`` go either way."""
    for n in range(len(found.scores)):
        wanted = [
            g for g in plain.decode(scene.image(n), scene.own, post) if g.center_score > tolerance
        ]
        wanted = [g for g in wanted if g.center_score >= min_score - tolerance]
        sure = sum(g.center_score >= min_score + tolerance for g in wanted)
        there = torch.nonzero(found.category[n] > 0).flatten().tolist()
        assert min(TOP, sure) <= len(there) <= min(TOP, len(wanted))
        last = wanted[len(there) - 1].center_score if there else 0.0
        taken = set()
        for i in there:
            category, box = int(found.category[n, i]), found.boxes[n, i].numpy()
            far = [np.abs(g.box - box).max() + 1e9 * (g.category != category) for g in wanted]
            at = int(np.argmin(far))
            assert far[at] < 100 * tolerance, f"no garment has category {category}, box {box}"
            assert at not in taken, f"twice: category {category}, box {box}"
            taken.add(at)
            same(found, n, i, wanted[at], tolerance)
        for at, g in enumerate(wanted):
            ours, must = at in taken, g.center_score > max(last, min_score) + tolerance
            assert ours or not must, f"missed: {g}"
            assert not ours or g.center_score >= last - tolerance, f"not among the best: {g}"
        scores = found.scores[n, : len(there)].numpy()
        assert (np.diff(scores) <= 0).all() and (found.scores[n, len(there) :] == 0).all()


def same(found: Decoded, n: int, i: int, wanted: plain.Garment, tolerance: float) -> None:
    own = len(wanted.landmarks)
    landmarks = found.landmarks[n, i].numpy()
    clear = wanted.margin > max(CLOSE, 10 * tolerance)
    smallest = 1e-30 if tolerance > 1e-7 else 1e-290  # less has no digits left in its precision
    clear &= (wanted.landmarks[:, 2] == 0) | (wanted.landmarks[:, 2] > smallest)
    np.testing.assert_allclose(
        landmarks[:own][clear], wanted.landmarks[clear], rtol=0, atol=100 * tolerance
    )
    assert (landmarks[own:, 2] == 0).all()
    if clear.all():
        assert abs(float(found.scores[n, i]) - wanted.score) < 10 * tolerance


@quick
@given(scenes(), st.sampled_from([0.0, 0.3]))
def test_the_published_decode(scene, min_score):
    check(decode(scene.maps, scene.slots, OFF, min_score), scene, OFF, min_score, 1e-10)


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_each_technique_alone(technique):
    @quick
    @given(scenes(ties=technique != "smooth"), posts((technique,)))
    def run(scene, post):
        check(decode(scene.maps, scene.slots, post), scene, post, 0.0, 1e-10)

    run()


@settings(quick, max_examples=60)
@given(scenes(ties=False), posts(), st.sampled_from([0.0, 0.3]))
def test_all_techniques_together(scene, post, min_score):
    check(decode(scene.maps, scene.slots, post, min_score), scene, post, min_score, 1e-10)


@quick
@given(scenes(ties=False), posts(), st.booleans())
def test_single_precision_agrees(scene, post, mask):
    post = post.model_copy(update={"mask": mask})
    single = scene.float()
    double = Scene({k: v.double() for k, v in single.maps.items()}, scene.own)
    check(decode(single.maps, scene.slots, post), double, post, 0.0, 3e-5)


@quick
@given(scenes(ties=False), posts(), st.booleans())
def test_a_fixed_graph_decodes_the_same(scene, post, mask):
    post = post.model_copy(update={"mask": mask})
    _, c, h, w = scene.maps["hm"].shape
    top = min(TOP, c * h * w)
    found = decode(scene.maps, scene.slots, post)
    boxes, scores, category, landmarks = decode_fixed(scene.maps, scene.slots, post, top)
    assert scores.shape == (len(boxes), top)
    for n in range(len(boxes)):
        count = int((found.scores[n] > 0).sum())
        ours = [rows(found.boxes, found.scores, found.category, found.landmarks, n, count)]
        ours.append(rows(boxes, scores, category, landmarks, n, count))
        np.testing.assert_allclose(*ours, rtol=0, atol=1e-9)
        assert (scores[n, count:] == 0).all()


def rows(boxes: Any, scores: Any, category: Any, landmarks: Any, n: int, count: int) -> np.ndarray:
    """An image's first garments as rows, in an order that ties can't change."""
    columns = [boxes[n], scores[n, :, None], category[n, :, None], landmarks[n].flatten(1)]
    table = torch.cat([c.double() for c in columns], 1)[:count].numpy().round(9)
    return table[np.lexsort(table.T[::-1])]


@quick
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), SHARE)
def test_smoothing(seed, h, w, sigma):
    maps = np.random.default_rng(seed).random((2, 3, h, w))
    ours = smooth(torch.from_numpy(maps), sigma).numpy()
    for n in range(2):
        for c in range(3):
            np.testing.assert_allclose(ours[n, c], plain.smoothed(maps[n, c], sigma), atol=1e-12)
    if sigma == 0:
        assert (ours == maps).all()


@quick
@given(scenes(), st.integers(0, 2**32 - 1))
def test_fusing_with_the_mirrored_image(scene, seed):
    rng = np.random.default_rng(seed)
    flipped = {k: torch.from_numpy(rng.permutation(v.numpy(), axis=-1)) for k, v in scene.maps.items()}
    k = scene.maps["hm_hp"].shape[1]
    mirror = np.arange(k)
    for a, b in rng.permutation(k)[: k // 2 * 2].reshape(-1, 2):
        mirror[[a, b]] = b, a
    ours = merge_flipped(scene.maps, flipped, torch.from_numpy(mirror))
    for n in range(len(ours["hm"])):
        other = {name: value[n].numpy() for name, value in flipped.items()}
        for name, value in plain.merge_flipped(scene.image(n), other, mirror).items():
            np.testing.assert_allclose(ours[name][n].numpy(), value, atol=1e-12, err_msg=name)


@st.composite
def crowds(draw: st.DrawFn) -> list[plain.Garment]:
    """Overlapping boxes of a few categories; ``cell`` numbers them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, kinds = draw(st.integers(0, 25)), draw(st.integers(1, 3))
    corner, side = rng.uniform(0, 12, (count, 2)), rng.uniform(4, 30, (count, 2))
    scores = rng.permutation(np.linspace(0.002, 0.99, max(count, 1)))[:count]
    return [
        plain.Garment(
            category=int(rng.integers(1, kinds + 1)),
            cell=(i, 0),
            center_score=float(scores[i]),
            score=float(scores[i]),
            box=np.concatenate([corner[i], corner[i] + side[i]]),
            landmarks=np.zeros((1, 3)),
            margin=np.ones(1),
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("how", ["none", "hard", "soft"])
def test_suppression(how):
    @settings(quick, max_examples=50)
    @given(crowds())
    def run(crowd):
        wanted = {
            "none": lambda: sorted(crowd, key=lambda g: -g.score),
            "hard": lambda: plain.hard_nms(crowd, NMS_IOU),
            "soft": lambda: plain.soft_nms(crowd),
        }[how]()
        kept, scores = nms(
            torch.from_numpy(np.array([g.box for g in crowd]).reshape(-1, 4)),
            torch.tensor([g.score for g in crowd], dtype=torch.float64),
            torch.tensor([g.category for g in crowd], dtype=torch.int64),
            OFF.model_copy(update={"nms": how}),
        )
        assert kept.tolist() == [g.cell[0] for g in wanted]
        np.testing.assert_allclose(scores.numpy(), [g.score for g in wanted], atol=1e-9)

    run()


class Eye:
    """Stands in for a network: random maps of a few garments, others for each size of its input.

    And others where the image's left side isn't the brighter one: it is mirrored then.
    """

    def __init__(self, seed: int, groups: int) -> None:
        self.seed, self.groups = seed, groups

    def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        side = images.shape[-1] // 4
        mirrored = bool(images[0, ..., : 2 * side].sum() < images[0, ..., 2 * side :].sum())
        rng = np.random.default_rng(self.seed + 2 * side + mirrored)
        shape = (len(images), side, side)
        arrays = {
            "hm": heat(rng, "peaks", (shape[0], 13, *shape[1:])),
            "hm_hp": heat(rng, "peaks", (shape[0], self.groups, *shape[1:])),
            "wh": rng.uniform(0.2, 1, (shape[0], 2, *shape[1:])) * side,
            "reg": rng.random((shape[0], 2, *shape[1:])),
            "hps": rng.uniform(-0.4, 0.4, (shape[0], 2 * self.groups, *shape[1:])) * side,
            "hp_offset": rng.random((shape[0], 2, *shape[1:])),
        }
        return {name: torch.from_numpy(a) for name, a in arrays.items()}


@settings(quick, max_examples=5)
@given(
    seed=st.integers(0, 2**16),
    width=st.integers(20, 90),
    height=st.integers(20, 90),
    scales=st.sampled_from([(), (0.85,), (0.85, 0.95, 1.1)]),
    nms=st.sampled_from(["none", "hard", "soft"]),
    flip=st.booleans(),
)
def test_scales_and_everything_else_at_once(seed, width, height, scales, nms, flip):
    grouping, size, threshold = load_grouping("semantic62"), 32, 0.2
    own = [grouping.channels(c.id).tolist() for c in CATEGORIES]
    post = PostProcess(nms=nms, flip=flip, scales=scales)
    eye = Eye(seed, grouping.num_groups)
    detector = Detector(eye, {"backbone": "small", "grouping": "semantic62", "input_size": size}, post)
    photo = np.zeros((height, width, 3), np.uint8)
    photo[:, : width // 2] = 255
    (found,) = detector.detect([photo], threshold)

    seen: list[plain.Garment] = []
    for scale in (1.0, *scales):
        side = int(np.ceil(size * scale / 32 - 1e-6)) * 32
        left = torch.zeros(1, 3, side, side)
        left[..., : side // 2] = 1
        image = Scene(eye(left), own).image(0)
        if flip:
            mirrored = Scene(eye(left.flip(-1)), own).image(0)
            image = plain.merge_flipped(image, mirrored, grouping.mirror())
        zoom = size * scale / max(width, height)  # the image lies in the middle of the input
        middle = np.array([width - 1, height - 1]) / 2 - (side - 1) / 2 / zoom
        peaks = [g for g in plain.decode(image, own, post) if g.center_score >= threshold][:TOP]
        for g in peaks:
            g.box = g.box / zoom + np.tile(middle, 2)
            g.landmarks[:, :2] = g.landmarks[:, :2] / zoom + middle
        seen += peaks
    kept = {"none": lambda s: sorted(s, key=lambda g: -g.score), "soft": plain.soft_nms}.get(
        nms, lambda s: plain.hard_nms(s, NMS_IOU)
    )(seen)
    kept = [g for g in kept if g.score >= threshold]
    assert [d.category_id for d in found] == [g.category for g in kept]
    limit = np.array([width - 1, height - 1] * 2)
    for ours, g in zip(found, kept, strict=True):
        assert abs(ours.score - g.score) < 1e-6
        np.testing.assert_allclose(ours.box, np.clip(g.box, 0, limit), atol=1e-3)
        np.testing.assert_allclose(
            ours.landmarks[g.margin > CLOSE], g.landmarks[g.margin > CLOSE], atol=1e-3
        )
