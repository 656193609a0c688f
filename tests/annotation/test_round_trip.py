"""Labels of every kind go out and come back in each format, and what is lost is said."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from annotated import HEIGHT, WIDTH, everything, garment, photo, scored

from fashion_ops.annotation import formats
from fashion_ops.annotation.exported import folder_photos
from fashion_ops.annotation.files import Export
from fashion_ops.annotation.losses import Feature, lost
from fashion_ops.annotation.photos import GRADES, checked
from fashion_ops.files.outputs import OutputRefused
from fashion_ops.params import Params
from fashion_ops.steps.batches import _check
from fashion_ops.taxonomy import CATEGORIES

PHOTOS = everything()
ALL = pytest.mark.parametrize("name", formats.FORMATS)


def same(values, others):
    np.testing.assert_array_equal(np.float32(values), np.float32(others))


def compare(one, other, lost_here):
    """Whether two photos have the same labels, but for what the format cannot say."""
    assert other.split == one.split and other.size == one.size
    assert len(other.labels.items) == len(one.labels.items)
    for item, back in zip(one.labels.items, other.labels.items, strict=True):
        assert back.category == item.category
        same(item.landmarks, back.landmarks)
        same(item.box, back.box)
        if Feature.POLYGONS not in lost_here:
            assert len(back.polygons) == len(item.polygons)
            for polygon, again in zip(item.polygons, back.polygons, strict=True):
                same(polygon, again)
        for grade in GRADES:
            is_lost = Feature[grade.upper()] in lost_here
            assert getattr(back, grade) == (0 if is_lost else getattr(item, grade)), grade
    pair, source = Feature.PAIR, Feature.SOURCE
    if not one.labels.items:
        pair, source = Feature.PAIR_OF_NEGATIVE, Feature.SOURCE_OF_NEGATIVE
    assert other.labels.pair_id == (-1 if pair in lost_here else one.labels.pair_id)
    assert other.labels.source == ("" if source in lost_here else one.labels.source)


@ALL
def test_all_labels_come_back_as_they_were_but_for_what_the_format_cannot_say(name, tmp_path):
    form = formats.FORMATS[name]
    formats.export_labels(name, PHOTOS, tmp_path / "out")
    back = list(checked(form.read(Export(tmp_path / "out"))))
    by_bytes = {photo.load(): photo for photo in back}
    assert len(by_bytes) == len(back) == len(PHOTOS)
    for expected in PHOTOS:
        found = by_bytes[expected.load()]
        assert found.name == expected.name
        compare(expected, found, form.lost)


@ALL
def test_what_is_lost_is_said_with_its_count_and_nothing_else_is(name, tmp_path):
    lines = formats.export_labels(name, [*PHOTOS, *map(scored, PHOTOS)], tmp_path / "out")
    expected = Counter(
        {
            Feature.SCALE: 34,
            Feature.OCCLUSION: 34,
            Feature.ZOOM_IN: 34,
            Feature.VIEWPOINT: 34,
            Feature.STYLE: 32,
            Feature.POLYGONS: 32,
            Feature.PAIR: 28,
            Feature.SOURCE: 28,
            Feature.PAIR_OF_NEGATIVE: 2,
            Feature.SOURCE_OF_NEGATIVE: 2,
            Feature.SCORE: 17,
            Feature.LANDMARK_SCORE: sum(c.num_landmarks for c in CATEGORIES) + 8 + 15 + 8 + 15,
        }
    )
    is_lost = formats.FORMATS[name].lost
    assert lines == [
        f"{name} cannot say: {f}: {expected[f]}" for f in Feature if f in is_lost and expected[f]
    ]


def test_yolo_cuts_what_is_outside_of_the_photo_and_says_so(tmp_path):
    item = garment("skirt", np.random.default_rng(1))
    points = [WIDTH + 2.0, 5, 2, *item.landmarks[3:]]
    outside = photo("a.jpg", [item._replace(landmarks=points, box=[-3.0, 4.0, 50.0, 60.0])])
    lines = formats.export_labels("yolo-pose", [outside], tmp_path / "out")
    assert f"yolo-pose cannot say: {Feature.OUTSIDE}: 1" in lines
    assert f"yolo-pose cannot say: {Feature.BOX_OUTSIDE}: 1" in lines
    (back,) = checked(formats.FORMATS["yolo-pose"].read(Export(tmp_path / "out")))
    assert back.labels.items[0].landmarks[:3] == [0, 0, 0]
    same(back.labels.items[0].box, [0, 4, 50, 60])
    numbers = (tmp_path / "out" / "labels" / "train" / "a.txt").read_text().split()[1:]
    assert all(0 <= float(v) <= 1 for v in numbers[:4])


@ALL
def test_an_import_is_a_batch_that_the_pipeline_takes(name, tmp_path):
    """What ``batches`` checks of it, and the labels that its reader finds."""
    photos = [photo for photo in PHOTOS if photo.split == "train"]
    formats.export_labels(name, photos, tmp_path / "out")
    totals = formats.import_labels(name, tmp_path / "out", tmp_path / "batch")
    assert totals.photos == {"train": len(photos)} and totals.negatives == 2
    assert totals.garments == sum(len(p.labels.items) for p in photos)
    images = _check(tmp_path / "batch", tmp_path / "catalog", Params(), {})
    assert len(images) == len(photos)
    by_bytes = {p.load(): p for p in folder_photos(tmp_path / "batch")}
    for expected in photos:
        compare(expected, by_bytes[expected.load()], formats.FORMATS[name].lost)


@ALL
def test_nothing_is_written_where_a_record_is_refused(name, tmp_path):
    bad = PHOTOS[0].labels.items[0]._replace(box=[5.0, 5.0, 5.0, 5.0])
    broken = replace(PHOTOS[0], labels=replace(PHOTOS[0].labels, items=[bad]))
    formats.export_labels(name, [broken, *PHOTOS[1:]], tmp_path / "out")
    with pytest.raises(
        formats.LabelError, match=r"empty or inverted box: box .* expected x1 < x2"
    ) as caught:
        formats.import_labels(name, tmp_path / "out", tmp_path / "batch")
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


@ALL
def test_an_export_that_fails_leaves_nothing(name, tmp_path):
    def unreadable():
        raise OSError(5, "Input/output error", "a.jpg")

    with pytest.raises(OSError, match=r"a\.jpg"):
        formats.export_labels(name, [PHOTOS[0], replace(PHOTOS[1], load=unreadable)], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_empty_is_not_replaced(tmp_path):
    formats.export_labels("coco", PHOTOS[:1], tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("x")
    with pytest.raises(OutputRefused, match="mine: exists; name a new folder"):
        formats.import_labels("coco", tmp_path / "out", tmp_path / "mine")
    with pytest.raises(OutputRefused, match="contains the input"):
        formats.import_labels("coco", tmp_path / "out", tmp_path)


def test_losses_count_only_what_is_there():
    plain = photo("a.jpg", [garment("skirt", np.random.default_rng(0), scale=0, style=0)])
    counts = lost([plain], frozenset(Feature))
    assert counts[Feature.SCALE] == counts[Feature.STYLE] == counts[Feature.PAIR] == 0
    assert counts[Feature.POLYGONS] == 1 and (HEIGHT, WIDTH) == (128, 96)
