"""The second edition's labels against the painted canvas, its plan, strengths and camera."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from fashion_ops.catalog.sources.deepfashion2 import parse_labels
from fashion_ops.synthetic.wardrobe import labels
from fashion_ops.synthetic.wardrobe.canvas import Canvas, Frame
from fashion_ops.synthetic.wardrobe.fabric import Fabric
from fashion_ops.synthetic.wardrobe.garment import Mark, Part
from fashion_ops.synthetic.wardrobe.labels import to_image
from fashion_ops.synthetic.wardrobe.look import Look
from fashion_ops.synthetic.wardrobe.plan import shares
from fashion_ops.synthetic.wardrobe.second import camera, render
from fashion_ops.synthetic.wardrobe.second.cuts import sample_cut
from fashion_ops.synthetic.wardrobe.second.plan import NEGATIVES, plan
from fashion_ops.taxonomy import CATEGORIES

SIZE = 128
SLEEVELESS = {5, 6, 7, 8, 9, 12, 13}  # whose own parts cannot cover each other


@pytest.fixture(scope="module")
def images():
    return [(shot, render.photograph(shot, SIZE)) for shot in plan(5, "train", 56, 0.0)]


def items(annotation) -> list[dict]:
    return [v for k, v in annotation.items() if k.startswith("item")]


def labelled(images):
    """(shot, image, number of the garment, item) of each labelled garment."""
    for shot, image in images:
        for number, garment in enumerate(image.garments):
            category_id = garment.style.category_id
            item = next((i for i in items(image.annotation) if i["category_id"] == category_id), None)
            if item is not None:
                yield shot, image, number, item


def changed_by_dyeing(monkeypatch, shot, image, number: int) -> np.ndarray:
    """Which pixels of the painting change when one garment is dyed."""
    category_id = shot.garments[number][0]

    def dyed(sampled, rng, photos=()):
        style = sample_cut(sampled, rng, photos)
        if sampled != category_id:
            return style
        far = tuple(tuple((c + 128) % 256 for c in color) for color in style.fabric.colors)
        return replace(style, fabric=replace(style.fabric, colors=far))

    with monkeypatch.context() as patch:
        patch.setattr(render, "sample_cut", dyed)
        other = render.photograph(shot, SIZE)
    difference = np.abs(image.canvas.pixels.astype(int) - other.canvas.pixels).max(2)
    return difference > 0


def test_labels_are_exact_under_tilt_crop_and_perspective(images, monkeypatch):
    """What changes when a garment is dyed is what its box, outline and visible landmarks say."""
    visible, covered, overlaps = [], [], []
    for shot, image, number, item in list(labelled(images))[::2]:
        changed = changed_by_dyeing(monkeypatch, shot, image, number)
        height, width = changed.shape
        assert image.pixels.shape[:2] == (height, width)
        x1, y1, x2, y2 = item["bounding_box"]
        assert 0 <= x1 < x2 < width and 0 <= y1 < y2 < height
        rows, columns = np.nonzero(changed)
        # a pixel that is covered by less than half may change and lie beside the box
        assert columns.min() >= x1 - 1 and columns.max() <= x2 + 1
        assert rows.min() >= y1 - 1 and rows.max() <= y2 + 1
        landmarks = np.array(item["landmarks"]).reshape(-1, 3)
        if shot.garments[number][0] in SLEEVELESS:
            for x, y, v in landmarks[landmarks[:, 2] > 0]:
                near = changed[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
                (visible if v == 2 else covered).append(near.mean())
        outline = np.zeros(changed.shape, np.uint8)
        cv2.fillPoly(outline, [np.array(item["segmentation"][0]).reshape(-1, 1, 2)], (1,))
        overlaps.append((outline.astype(bool) & changed).sum() / changed.sum())
    assert len(visible) > 120 and len(covered) > 15
    assert np.mean(np.array(visible) > 0) > 0.98
    assert np.mean(np.array(covered) < 0.5) > 0.95
    assert np.median(overlaps) > 0.97


def test_unlabelled_exactly_when_out_of_the_image(images):
    cut = 0
    for _, image, number, item in labelled(images):
        true = to_image(image.canvas.frame.apply(image.garments[number].ordered()[0]))
        height, width = image.pixels.shape[:2]
        outside = ((np.rint(true) < 0) | (np.rint(true) > (width - 1, height - 1))).any(1)
        labels = np.array(item["landmarks"]).reshape(-1, 3)
        np.testing.assert_array_equal(labels[:, 2] == 0, outside)
        assert not labels[outside].any()
        np.testing.assert_allclose(labels[~outside, :2], true[~outside], atol=0.51)
        cut += int(outside.sum())
    assert cut > 40


def test_every_garment_that_shows_is_labelled(images, monkeypatch):
    """Also one so near that no landmark lies in the image: without a label it would be background."""
    for shot, image in images:
        shows = [image.canvas.showing(k).mean() >= 0.006 for k in range(len(shot.garments))]
        assert len(items(image.annotation)) == sum(shows)

    def near(rng, setting, garments, shape):
        middle = garments[-1].ordered()[0].mean(0)
        corners = np.array([middle - 0.02, middle + 0.02])
        return camera.frame_around(rng, "empty", corners, 1.0, shape)

    monkeypatch.setattr(camera, "sample_frame", near)
    shot = next(shot for shot, _ in images if shot.setting == "flat" and shot.garments[0][0] == 9)
    (item,) = items(render.photograph(shot, SIZE).annotation)
    assert not any(item["landmarks"]) and item["zoom_in"] == 3
    height, width = render.photograph(shot, SIZE).pixels.shape[:2]
    assert item["bounding_box"] == [0, 0, width - 1, height - 1]


def test_polygons_of_cut_garments_end_at_the_border(images):
    """Sleeves, legs and panels: the labelled polygon covers what the true one covers of the image."""
    compared = 0
    for _, image, number, item in labelled(images):
        height, width = image.pixels.shape[:2]
        expected, drawn = (np.zeros((height, width), np.uint8) for _ in range(2))
        for repeat in image.garments[number].repeats:
            points = to_image(image.canvas.frame.apply(repeat))
            cut = (points < 0).any() or (points > (width - 1, height - 1)).any()
            if cut and np.abs(points).max() < 1000:
                cv2.fillPoly(expected, [np.rint(points * 16).astype(np.int32)], (1,), shift=4)
        if expected.sum() < 200:
            continue
        for polygon in item["segmentation"][1:]:
            cv2.fillPoly(drawn, [np.array(polygon).reshape(-1, 1, 2)], (1,))
        rim = cv2.dilate(drawn, np.ones((5, 5), np.uint8))  # corners are rounded and simplified
        assert (expected & rim).sum() > 0.98 * expected.sum()
        compared += 1
    assert compared >= 4


def test_a_polygon_is_clipped_as_worked_by_hand():
    """A triangle across the right border of a 10 x 10 image, and one that lies beside it."""
    size = np.array([10, 10])
    clipped = labels.clip_polygon(np.array([(5.0, 2.0), (13.0, 6.0), (5.0, 6.0)]), size)
    np.testing.assert_allclose(clipped, [(5, 2), (9, 4), (9, 6), (5, 6)])
    assert len(labels.clip_polygon(np.array([(12.0, 2.0), (15.0, 2.0), (13.0, 5.0)]), size)) == 0


def test_colours_at_half_the_resolution_equal_those_shrunk_by_half():
    """A coat of cloth with a seam, painted at both resolutions: edges blend alike."""
    outline = np.array([(-1.1, -0.9), (1.2, -1.0), (0.9, 1.3), (-0.8, 1.1)])
    part = Part("shell", "body", (outline,), marks=())
    cloth = Fabric("plain", ((90, 140, 190),) * 3, 0.3, 7, 1.0)
    frame = Frame.of(40.0, 0.1, np.zeros(2), 128)
    full = Canvas(np.full((128, 128, 3), 60, np.uint8), frame, (0.3, -0.6), Look(folds=0.5))
    half = Canvas(np.full((64, 64, 3), 60, np.uint8), frame, (0.3, -0.6), Look(folds=0.5), zoom=2)
    for canvas in (full, half):
        canvas.paint_part(part, cloth, 0)
    np.testing.assert_array_equal(full.top, half.top)
    shrunk = cv2.resize(full.pixels, (64, 64), interpolation=cv2.INTER_AREA).astype(int)
    difference = np.abs(shrunk - half.pixels)
    assert difference.mean() < 1.5 and np.percentile(difference, 99) < 8


def test_corners_of_a_skirt_laid_out_lie_on_its_outline(images):
    """Waist and hem of garments without sleeves, within two pixels of the painted edge."""
    distances = []
    for _, image, number, item in labelled(images):
        garment = image.garments[number]
        if not image.figure.flat or garment.style.category_id != 9:
            continue
        edge = image.canvas.painted(number)
        far = cv2.distanceTransform(cv2.morphologyEx(edge, cv2.MORPH_GRADIENT, np.ones((3, 3))) ^ 255,
                                    cv2.DIST_L2, 5)  # fmt: skip
        for x, y, v in np.array(item["landmarks"]).reshape(-1, 3):
            if v:
                distances.append(far[y, x])
    assert len(distances) >= 16
    assert max(distances) <= 2.0


def test_negatives_are_images_without_items_and_ingest_takes_them():
    shots = plan(0, "train", 400, 0.35)
    empty = [shot for shot in shots if shot.setting == "empty"]
    assert abs(len(empty) / len(shots) - NEGATIVES) < 0.02
    assert all(a.pair_id != b.pair_id or a.setting == b.setting for a, b in pairwise(shots))
    for shot in empty[:4]:
        image = render.photograph(shot, 64)
        assert image.annotation == {"source": shot.source, "pair_id": shot.pair_id}
        assert parse_labels(image.annotation).items == []
        assert image.pixels.std() > 2


def test_shares_of_categories_and_settings():
    shots = plan(1, "train", 1200, 0.35)
    counts = Counter(c for shot in shots for c, _, _ in shot.garments)
    counted = np.array([counts[c.id] for c in CATEGORIES])
    np.testing.assert_allclose(counted / counted.sum(), shares(0.35), atol=0.01)
    settings = Counter(shot.setting for shot in shots)
    assert settings["hanger"] > 80 and settings["flat"] > 200 and settings["worn"] > 500
    assert {len(shot.garments) for shot in shots} == {0, 1, 2, 3}
    assert plan(1, "train", 61, 0.35) == shots[:61]


def test_strengths_run_from_nothing_to_strong():
    """Plain cloth with a seam: nothing leaves one colour, more strength gives more contrast."""
    square = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    seam = Mark("line", np.array([(0.0, -1.0), (0.0, 1.0)]), "dark", 0.1)
    part = Part("shell", "body", (square,), marks=(seam,))
    cloth = Fabric("plain", ((90, 140, 190),) * 3, 0.3, 7, 1.0)

    def painted(look: Look) -> np.ndarray:
        frame = Frame.of(30.0, 0.0, np.zeros(2), 128)
        canvas = Canvas(np.zeros((128, 96, 3), np.uint8), frame, (0.3, -0.6), look)
        canvas.paint_part(part, cloth, 0)
        return canvas.pixels[canvas.top > 0].astype(float)

    nothing = painted(Look(rim=0, shadow=0, folds=0, seams=0.0))
    assert np.abs(nothing - cloth.base).max() <= 1
    for name in ("rim", "folds", "seams"):
        weak, strong = (
            painted(replace(Look(rim=0, shadow=0, folds=0, seams=0.0, creased=True), **{name: value}))
            for value in (0.3, 1.2)
        )
        assert 0.3 < weak.std(0).mean() < strong.std(0).mean(), name


def test_bends_never_fold_the_plane_over():
    grid = np.stack(np.meshgrid(np.linspace(-3, 3, 25), np.linspace(-1, 7, 33)), -1).reshape(-1, 2)
    step = 1e-4
    for seed in range(60):
        rng = np.random.default_rng(seed)
        setting = ("worn", "flat", "hanger")[seed % 3]
        bend = camera.sample_bend(rng, setting, np.array([0.0, 3.0]), 4.0)
        dx, dy = ((bend(grid + d) - bend(grid)) / step for d in np.eye(2) * step)
        near = 1 + (grid - bend.center) @ bend.slant > 0.5  # not cut off at the nearest distance
        assert near.mean() > 0.8
        assert (dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0])[near].min() > 0


def test_pictures_have_the_shapes_of_photographs():
    rng = np.random.default_rng(0)
    shapes = [camera.picture_shape(rng, 256) for _ in range(300)]
    assert all(max(shape) == 256 and min(shape) >= 144 for shape in shapes)
    portraits = np.mean([height > width for height, width in shapes])
    assert 0.6 < portraits < 0.85 and (256, 256) in shapes
