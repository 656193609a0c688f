"""COCO files of tools: other categories and orders, other places of photos, crowds."""

import pytest
from annotated import everything, put_json, put_photo

from fashion_ops.annotation import coco, formats
from fashion_ops.annotation.exported import folder_photos
from fashion_ops.annotation.files import Export
from fashion_ops.annotation.photos import AnnotatedPhoto
from fashion_ops.catalog.sources.base import parse_json
from fashion_ops.taxonomy import CATEGORIES, category

NAMES = list(category("skirt").landmark_names)


def content(names=NAMES, category_id=3, file_name="a.jpg", **more):
    """Two categories in another order than ours and with other ids."""
    points = [v for i in range(8) for v in (10 + i, 20 + i, 1 + i % 2)]
    own = {"id": 1, "image_id": 5, "category_id": category_id, "bbox": [8, 18, 22, 22], "iscrowd": 0}
    return {
        "images": [{"id": 5, "file_name": file_name, "width": 96, "height": 128}],
        "annotations": [own | {"keypoints": points, "num_keypoints": 8, "area": 484} | more],
        "categories": [
            {"id": 7, "name": "vest", "keypoints": [], "skeleton": []},
            {"id": 3, "name": "Skirt", "keypoints": names, "skeleton": [[1, 2]]},
        ],
    }


def read(folder, images=None, **changes):
    put_json(folder / "annotations" / "person_keypoints_default.json", content(**changes))
    found = list(coco.read(Export(folder, images)))
    return [p for p in found if isinstance(p, AnnotatedPhoto)], found


def test_categories_have_the_ids_and_the_order_of_the_file(tmp_path):
    put_photo(tmp_path / "images" / "default" / "a.jpg")
    (photo,), _ = read(tmp_path)
    (item,) = photo.labels.items
    assert item.category == 9 and item.box == [8, 18, 30, 40] and item.landmarks[:3] == [10, 20, 1]


def test_landmarks_in_another_order_are_put_into_ours_by_name(tmp_path):
    put_photo(tmp_path / "images" / "a.jpg")
    (photo,), _ = read(tmp_path, names=NAMES[::-1])
    assert photo.labels.items[0].landmarks[0::3] == [17, 16, 15, 14, 13, 12, 11, 10]
    (photo,), _ = read(tmp_path, names=[str(i) for i in range(1, 9)])
    assert photo.labels.items[0].landmarks[0::3] == [10, 11, 12, 13, 14, 15, 16, 17]


def test_photos_may_be_in_a_folder_that_the_user_names(tmp_path):
    put_photo(tmp_path / "elsewhere" / "a.jpg")
    (photo,), _ = read(tmp_path / "labels", tmp_path / "elsewhere", file_name="shop/a.jpg")
    assert len(photo.labels.items) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"file_name": "../a.jpg"}, "path leads outside the data set"),
        ({"category_id": 1}, "1 is not among the file's categories"),
        ({"keypoints": [1, 2, 2]}, "wrong landmark count: 3 numbers; expected 24"),
        ({"bbox": [1, 2, 0, 0]}, "empty or inverted box"),
        ({"file_name": "b.jpg"}, "image missing"),
    ],
)
def test_what_is_wrong_names_file_record_and_value(tmp_path, changes, said):
    put_photo(tmp_path / "in" / "images" / "a.jpg")
    put_json(tmp_path / "in" / "annotations" / "instances_default.json", content(**changes))
    with pytest.raises(formats.LabelError) as caught:
        formats.import_labels("coco", tmp_path / "in", tmp_path / "batch")
    assert said in str(caught.value) and "instances_default.json" in str(caught.value)


def test_a_crowd_is_said_and_not_taken(tmp_path):
    put_photo(tmp_path / "images" / "a.jpg")
    (photo,), found = read(tmp_path, iscrowd=1)
    assert photo.labels.items == [] and "1 crowd regions of" in found[0].value


def test_each_category_is_written_with_its_landmarks_and_links(tmp_path):
    formats.export_labels("coco", everything(), tmp_path / "out")
    assert {p.name for p in (tmp_path / "out" / "annotations").iterdir()} == {
        "person_keypoints_train.json",
        "person_keypoints_validation.json",
    }
    made = parse_json((tmp_path / "out" / "annotations" / "person_keypoints_train.json").read_bytes())
    for c, row in zip(CATEGORIES, made["categories"], strict=True):
        assert row["keypoints"] == list(c.landmark_names)
        assert [(a - 1, b - 1) for a, b in row["skeleton"]] == list(c.links)
    assert len(list(folder_photos(tmp_path / "out"))) == len(everything())
