"""COCO files as labelling tools write them: read, or refused in a line that names the record."""

import bz2
import codecs
import gzip

import numpy as np
import pytest
from raw_data import item
from test_ingest_coco import annotation, image, write

from fashion_ops.params import Ingest, Params
from fashion_ops.registry.checks import catalog_adds_up, quarantine_share

POINTS = item("skirt")["landmarks"]


def values(data, reason):
    """The values of the quarantine's rows with this reason."""
    rows = data.catalog.quarantine
    return rows.loc[rows["reason"] == reason, "value"].tolist()


def adds_up(data):
    """Whether every record is a garment or in the quarantine, by the tables alone."""
    catalog = data.catalog
    return len(catalog.garments) + catalog.quarantine["num_records"].sum() == (
        data.metrics["garments"] + data.metrics["quarantined"]
    )


# Crowds


@pytest.mark.parametrize("flag", [1, True, 1.0])
def test_a_crowd_is_counted_and_makes_no_garment(data, capsys, flag):
    write(
        data,
        [image(1)],
        [annotation(1, 1), annotation(2, 1, iscrowd=flag), annotation(3, 1, iscrowd=0)],
    )
    catalog = data.ingest(source="coco", max_quarantined=0)
    assert catalog.garments["item"].tolist() == ["1", "3"]
    assert data.refusals == [("annotations.json", "2", "crowd region")]
    assert adds_up(data)
    printed = capsys.readouterr().out
    assert (
        "3 records = 2 garments + 1 quarantined" in printed
        and "1 of the quarantined are crowd" in printed
    )
    assert quarantine_share(Params(ingest=Ingest(max_quarantined=0)), data.ws).passed


def test_an_image_of_crowds_alone_is_no_negative(data):
    write(data, [image(1), image(2)], [annotation(1, 1, iscrowd=1), annotation(2, 2)])
    assert data.ingest(source="coco", max_quarantined=0).images["coco_id"].tolist() == [2]


def test_a_crowd_needs_no_keypoints_and_its_mask_may_be_run_length(data):
    mask = {"counts": "abc", "size": [80, 60]}
    crowd = {"id": 2, "image_id": 1, "category_id": 9, "iscrowd": 1, "segmentation": mask}
    write(data, [image(1)], [annotation(1, 1), crowd])
    assert len(data.ingest(source="coco", max_quarantined=0).garments) == 1


def test_an_unclear_crowd_flag_is_refused_by_name(data):
    write(data, [image(1)], [annotation(1, 1), annotation(2, 1, iscrowd="yes")])
    data.ingest(source="coco")
    assert values(data, "JSON of another shape") == ["iscrowd 'yes'; expected 0 or 1"]


# Negatives


def test_an_image_without_annotations_is_a_negative(data):
    write(data, [image(1), image(2)], [annotation(1, 2)])
    catalog = data.ingest(source="coco", max_quarantined=0)
    assert catalog.images["coco_id"].tolist() == [1, 2]
    assert catalog.garments["image_id"].tolist() == [2]
    assert catalog_adds_up(Params(), data.ws).passed


def test_deepfashion2s_labels_without_items_are_a_negative_too(data):
    data.add("000001")
    data.add("000002", item())
    assert data.ingest(max_quarantined=0).images["coco_id"].tolist() == [1, 2]
    assert data.metrics["garments"] == 1


def test_an_image_whose_garments_are_all_refused_is_no_negative(data):
    write(data, [image(1), image(2)], [annotation(1, 1, bbox=[1, 1, 0, 0]), annotation(2, 2)])
    assert data.ingest(source="coco").images["coco_id"].tolist() == [2]


def test_labels_that_are_no_items_are_not_taken_for_a_negative(data):
    data.add("000001", Item1=item())
    data.add("000002", item())
    data.ingest()
    assert data.refusals == [("train/annos/000001.json", "", "JSON of another shape")]


def test_a_missing_negative_is_one_record(data):
    write(data, [image(1), image(2)], [annotation(1, 2)])
    (data.root / "image" / "000001.jpg").unlink()
    data.ingest(source="coco")
    assert data.metrics["quarantined"] == 1 and adds_up(data)


# Ids


def test_labels_of_an_id_given_to_two_images_are_refused_in_a_line_that_names_both(data):
    images = [image(1, "a.jpg"), image(1, "b.jpg"), image(2)]
    write(data, images, [annotation(1, 1), annotation(2, 1), annotation(3, 2)])
    catalog = data.ingest(source="coco")
    assert catalog.garments["item"].tolist() == ["3"]
    assert values(data, "id given twice") == ["'a.jpg' and 'b.jpg' both have the id 1"]
    assert catalog.images["coco_id"].tolist() == [2]
    assert data.metrics["quarantined"] == 2 and adds_up(data)


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), ("a", "a"), (2**64 + 1, 2**64 + 1)])
def test_ids_that_are_equal_are_given_twice_however_they_are_written(data, one, other):
    write(data, [image(one, "a.jpg"), image(other, "b.jpg")], [annotation(1, one)])
    data.ingest(source="coco")
    assert [reason for _, _, reason in data.refusals] == ["id given twice"]


def test_the_later_of_two_annotations_with_one_id_is_refused(data):
    write(data, [image(1), image(2)], [annotation(7, 1), annotation(7, 2), annotation(8, 2)])
    assert data.ingest(source="coco").garments["item"].tolist() == ["7", "8"]
    assert values(data, "id given twice") == ["annotations of the images 1 and 2 both have the id 7"]


def test_a_category_id_of_two_names_is_refused(data):
    names = [{"id": 9, "name": "skirt"}, {"id": 9, "name": "vest"}]
    write(data, [image(1)], [annotation(1, 1)], categories=names)
    data.ingest(source="coco")
    assert values(data, "unknown category")[0].startswith("'9 is the id of skirt and of vest'")


def test_a_whole_float_is_the_integer_and_a_text_is_not(data):
    write(
        data,
        [image(1.0, "000001.jpg"), image("2", "000002.jpg")],
        [annotation(1, 1), annotation(2, 2, "vest")],
    )
    catalog = data.ingest(source="coco")
    assert catalog.garments["item"].tolist() == ["1"]
    (value,) = values(data, "labels without image")
    assert value == "no image with id 2; there is one with id '2': write both alike"


@pytest.mark.parametrize(
    "ids", [("a", "b"), ("1", "2"), (2**63, 2**63 + 1), (2**64, 2**64 + 1), (0, 1)]
)
def test_ids_of_any_size_and_texts_join_images_and_labels(data, ids):
    one, two = ids
    write(
        data,
        [image(one, "a.jpg"), image(two, "b.jpg")],
        [annotation(1, two), annotation(2, one, "vest")],
    )
    catalog = data.ingest(source="coco", max_quarantined=0)
    assert catalog.garments["category_id"].tolist() == [5, 9]
    assert catalog.images["coco_id"].tolist() == ([0, 1] if ids == (0, 1) else [1, 2])


@pytest.mark.parametrize("broken", [None, True, 1.5, [], float("nan")])
def test_what_is_no_id_joins_nothing(data, broken):
    write(data, [image(broken, "a.jpg"), image(1)], [annotation(1, broken), annotation(2, 1)])
    assert data.ingest(source="coco").garments["item"].tolist() == ["2"]
    assert data.metrics["quarantined"] == 2 and adds_up(data)


def test_the_id_in_the_source_stays_where_other_images_are_refused(data):
    """Results of other systems are joined by it."""
    write(data, [image(7, "a.jpg"), image(7, "b.jpg"), image(5)], [annotation(1, 5)])
    assert data.ingest(source="coco").images["coco_id"].tolist() == [5]


# Polygons and keypoints


@pytest.mark.parametrize(
    ("segmentation", "expected"),
    [
        (None, []),
        ([], []),
        ([[]], []),
        ({"counts": [3, 4], "size": [80, 60]}, []),
        ([10, 20, 55, 20, 55, 70], [[10, 20, 55, 20, 55, 70]]),
        ([[10, 20], [55, 20], [55, 70]], [[10, 20, 55, 20, 55, 70]]),
        ([[[10, 20], [55, 20], [55, 70]], [[1, 2], [3, 4]]], [[10, 20, 55, 20, 55, 70], [1, 2, 3, 4]]),
        ([[10, 20, 55, 20, 55, 70]], [[10, 20, 55, 20, 55, 70]]),
    ],
)
@pytest.mark.parametrize("source", ["coco", "deepfashion2"])
def test_polygons_of_any_shape_keep_the_garment(data, source, segmentation, expected):
    if source == "coco":
        write(data, [image(1)], [annotation(1, 1, segmentation=segmentation)])
    else:
        data.add("000001", item(segmentation=segmentation))
    garments = data.ingest(source=source, max_quarantined=0).garments
    assert [p.tolist() for p in garments["polygons"].iloc[0]] == expected
    np.testing.assert_array_equal(garments["landmarks"].iloc[0], POINTS)


@pytest.mark.parametrize(
    ("changes", "labelled"),
    [
        ({"keypoints": [], "num_keypoints": 0}, 0),
        ({"keypoints": []}, 0),
        ({"keypoints": [0] * 882, "num_keypoints": 0}, 0),
        ({"num_keypoints": 3}, 8),
        ({"num_keypoints": None}, 8),
    ],
)
def test_empty_keypoints_label_nothing_and_the_list_decides_not_its_count(data, changes, labelled):
    write(data, [image(1)], [annotation(1, 1, **changes)])
    garments = data.ingest(source="coco", max_quarantined=0).garments
    assert garments["num_labelled"].tolist() == [labelled]


def test_an_empty_list_of_counted_keypoints_is_refused(data):
    write(data, [image(1)], [annotation(1, 1, keypoints=[], num_keypoints=5), annotation(2, 1)])
    data.ingest(source="coco")
    assert values(data, "wrong landmark count") == ["keypoints is empty, but num_keypoints is 5"]


# Categories


def test_categories_that_nobody_uses_do_no_harm(data):
    names = [{"id": 0, "name": "clothes"}, {"id": 1, "name": "skirt"}, {"id": 2, "name": "hat"}]
    write(data, [image(1)], [annotation(1, 1, category_id=1)], categories=names)
    assert data.ingest(source="coco", max_quarantined=0).garments["category_id"].tolist() == [9]


@pytest.mark.parametrize("name", ["Short Sleeve Top", "short-sleeve-top", "SHORT_SLEEVED_SHIRT"])
def test_names_may_be_written_with_other_letters_and_signs(data, name):
    own = annotation(1, 1, "short_sleeve_top", category_id=0, bbox=[10, 20, 45, 50])
    write(data, [image(1)], [own], categories=[{"id": 0, "name": name}])
    assert data.ingest(source="coco", max_quarantined=0).garments["category_id"].tolist() == [1]


@pytest.mark.parametrize(
    ("categories", "number", "value"),
    [
        ([{"id": 9, "name": "dress"}], 9, "9 dress; rename it to one of the 13 categories"),
        ([{"id": 3, "name": "skirt"}], 9, "9 is not among the file's categories"),
        ([{"id": i} for i in range(13)], 9, "0 is a category and has no name"),
    ],
)
def test_categories_of_another_scheme_are_refused_not_guessed(data, categories, number, value):
    write(data, [image(1)], [annotation(1, 1, category_id=number)], categories=categories)
    data.ingest(source="coco")
    assert value in values(data, "unknown category")[0]


# Encodings of the file


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_a_byte_order_mark_utf_16_and_gzip_are_read(data, encoding):
    write(data, [image(1)], [annotation(1, 1)])
    path = data.root / "annotations.json"
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    path.write_bytes(mark + path.read_text().encode(encoding))
    assert len(data.ingest(source="coco", max_quarantined=0).garments) == 1
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert len(data.ingest(source="coco", max_quarantined=0).garments) == 1


@pytest.mark.parametrize(
    ("change", "value"),
    [
        (bz2.compress, "compressed with bzip2, which is not read; unpack it first"),
        (lambda b: gzip.compress(b)[:-9], "a damaged gzip file"),
        (lambda b: b'{"images": [], "annotations": [' + b'{"a":' * 100_000, "breaks off"),
        (lambda b: b"[" * 100_000, "[[[["),
        (lambda b: b[:-40], "breaks off"),
        (lambda b: b"[%s]" % b, "[{"),
        (lambda b: b.decode().encode("utf-16")[:-1], "UTF-16 that breaks off"),
        (lambda b: b.replace(b'"images"', b'"annotations"'), "annotations stands twice"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_refusal_that_says_why(data, change, value):
    write(data, [image(1)], [annotation(1, 1)], "train.json", "train")
    write(data, [image(1)], [annotation(1, 1)], "validation.json", "validation")
    path = data.root / "validation.json"
    path.write_bytes(change(path.read_bytes()))
    assert len(data.ingest(source="coco").garments) == 1
    assert [r[:2] for r in data.refusals] == [("validation.json", "")]
    assert value in data.catalog.quarantine["value"][0]


def test_an_annotation_nested_a_hundred_thousand_deep_is_refused_alone(data):
    write(data, [image(1)], [annotation(1, 1), annotation(2, 1)])
    path = data.root / "annotations.json"
    deep = "[" * 100_000 + "]" * 100_000
    path.write_text(path.read_text().replace('"style": 3', f'"style": {deep}', 1))
    assert data.ingest(source="coco").garments["item"].tolist() == ["2"]
    assert [reason for _, _, reason in data.refusals] == ["not JSON"]
