"""Labels against the painted image: visibility, boxes, cuts, levels."""

from dataclasses import replace

import numpy as np
import pytest

from fashion_ops.synthetic.wardrobe import render
from fashion_ops.synthetic.wardrobe.labels import to_image
from fashion_ops.synthetic.wardrobe.plan import plan
from fashion_ops.synthetic.wardrobe.style import sample_style

SIZE = 128
COUNT = 48
SLEEVELESS = {5, 6, 7, 8, 9, 12, 13}  # whose own parts cannot cover each other


@pytest.fixture(scope="module")
def images():
    shots = plan(5, "train", COUNT, 0.0)
    return [(shot, render.photograph(shot, SIZE)) for shot in shots]


def items(annotation) -> list[dict]:
    return [v for k, v in annotation.items() if k.startswith("item")]


def item_of(image, number: int) -> dict | None:
    category_id = image.garments[number].style.category_id
    return next((i for i in items(image.annotation) if i["category_id"] == category_id), None)


def changed_by_dyeing(monkeypatch, shot, image, number: int) -> np.ndarray:
    """Which pixels change when one garment is dyed: those where it is visible."""
    category_id = shot.garments[number][0]

    def dyed(sampled, rng):
        style = sample_style(sampled, rng)
        if sampled != category_id:
            return style
        colors = tuple(
            tuple(255 - c if c > 150 or c < 100 else 0 for c in k) for k in style.fabric.colors
        )
        return replace(style, fabric=replace(style.fabric, colors=colors))

    with monkeypatch.context() as patch:
        patch.setattr(render, "sample_style", dyed)
        other = render.photograph(shot, SIZE)
    difference = np.abs(image.pixels.astype(int) - other.pixels.astype(int)).max(2)
    return difference > 12


def test_visible_means_painted_on_top_and_covered_means_not(images, monkeypatch):
    visible, covered = [], []
    for shot, image in images:
        for number, (category_id, _, _) in enumerate(shot.garments):
            item = item_of(image, number)
            if item is None or category_id not in SLEEVELESS:
                continue
            changed = changed_by_dyeing(monkeypatch, shot, image, number)
            for x, y, v in np.array(item["landmarks"]).reshape(-1, 3):
                near = changed[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
                if v == 2:
                    visible.append(near.any())
                elif v == 1:
                    covered.append(near.mean())
    assert len(visible) > 200
    assert len(covered) > 40
    assert np.mean(visible) > 0.98
    assert np.mean(np.array(covered) < 0.5) > 0.95
    assert np.mean(np.array(covered) == 0) > 0.6


def test_boxes_hold_all_that_shows_and_all_labelled_landmarks(images, monkeypatch):
    checked = 0
    for shot, image in images[:20]:
        for number in range(len(shot.garments)):
            item = item_of(image, number)
            if item is None:
                continue
            x1, y1, x2, y2 = item["bounding_box"]
            assert 0 <= x1 < x2 < SIZE
            assert 0 <= y1 < y2 < SIZE
            for x, y, v in np.array(item["landmarks"]).reshape(-1, 3):
                assert v == 0 or (x1 <= x <= x2 and y1 <= y <= y2)
            rows, columns = np.nonzero(changed_by_dyeing(monkeypatch, shot, image, number))
            if len(rows) == 0:
                continue
            assert x1 - 2 <= columns.min()
            assert columns.max() <= x2 + 2
            assert y1 - 2 <= rows.min()
            assert rows.max() <= y2 + 2
            checked += 1
    assert checked > 20


def test_unlabelled_exactly_when_out_of_the_image(images):
    cut = 0
    for _, image in images:
        for number, garment in enumerate(image.garments):
            item = item_of(image, number)
            if item is None:
                continue
            true = to_image(image.canvas.frame.apply(garment.ordered()[0]))
            outside = ((np.rint(true) < 0) | (np.rint(true) > SIZE - 1)).any(1)
            labels = np.array(item["landmarks"]).reshape(-1, 3)
            np.testing.assert_array_equal(labels[:, 2] == 0, outside)
            assert not labels[outside].any()
            np.testing.assert_allclose(labels[~outside, :2], true[~outside], atol=0.51)
            cut += int(outside.sum())
    assert cut > 20


def test_levels_and_polygons(images):
    for shot, image in images:
        for item in items(image.annotation):
            x1, y1, x2, y2 = item["bounding_box"]
            share = (x2 - x1) * (y2 - y1) / SIZE**2
            assert item["scale"] == (1 if share < 0.1 else 2 if share <= 0.4 else 3)
            assert item["occlusion"] in (1, 2, 3)
            assert item["zoom_in"] in (1, 2, 3)
            assert item["viewpoint"] == 1 if shot.flat else item["viewpoint"] in (2, 3)
            for polygon in item["segmentation"]:
                assert len(polygon) >= 6
                assert len(polygon) % 2 == 0
                assert 0 <= min(polygon) <= max(polygon) < SIZE
            if item["category_id"] in (2, 4, 8) and item["zoom_in"] == 1:
                assert len(item["segmentation"]) >= 3  # the outline, then both sleeves, panels or legs


def test_covered_and_cut_stay_moderate(images):
    v = np.concatenate(
        [np.array(i["landmarks"]).reshape(-1, 3)[:, 2] for _, p in images for i in items(p.annotation)]
    )
    assert 0.08 < np.mean(v == 1) < 0.3
    assert 0.01 < np.mean(v == 0) < 0.15
