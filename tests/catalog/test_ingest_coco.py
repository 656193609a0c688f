"""COCO-style files, small and real, and the walk through a large file's lists."""

import json
from pathlib import Path

import numpy as np
import pytest
from raw_data import HEIGHT, WIDTH, item, jpeg

from fashion_ops.catalog.quarantine import Refused
from fashion_ops.catalog.sources.json_index import elements
from fashion_ops.taxonomy import CATEGORIES, category

SAMPLES = Path(__file__).parents[2].parent / "shared" / "samples"


def annotation(number, image_id, name="skirt", **changes):
    own = category(name)
    keypoints = np.zeros((294, 3), int)
    keypoints[own.slots] = np.reshape(item(name)["landmarks"], (-1, 3))
    return {
        "id": number,
        "image_id": image_id,
        "category_id": own.id,
        "bbox": [10, 20, 45, 50],
        "keypoints": keypoints.ravel().tolist(),
        "segmentation": [[10, 20, 55, 20, 55, 70]],
        "style": 3,
        "pair_id": 8,
    } | changes


def image(number, name=None, **changes):
    return {
        "id": number,
        "file_name": name or f"{number:06d}.jpg",
        "width": WIDTH,
        "height": HEIGHT,
    } | changes


def write(data, images, annotations, name="annotations.json", folder="image", **more):
    (data.root / folder).mkdir(parents=True, exist_ok=True)
    for i in images:
        path = data.root / folder / Path(str(i["file_name"])).name
        if path.name.isprintable():  # no lone surrogate
            path.write_bytes(jpeg())
    categories = [{"id": c.id, "name": c.coco_name} for c in CATEGORIES]
    content = {
        "info": {"a": [{}]},
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }
    (data.root / name).write_text(json.dumps(content | more))


def test_one_file_beside_image_is_the_train_split(data):
    write(
        data,
        [image(5), image(3)],
        [annotation(1, 3, "vest"), annotation(2, 5), annotation(4, 5, "shorts")],
    )
    catalog = data.ingest(source="coco", max_quarantined=0)
    assert catalog.images["coco_id"].tolist() == [5, 3]
    assert catalog.images["file_name"].tolist() == ["image/000005.jpg", "image/000003.jpg"]
    assert catalog.garments["item"].tolist() == ["2", "4", "1"]
    assert catalog.garments["category_id"].tolist() == [9, 7, 5]
    assert set(catalog.garments["split"]) == {"train"}
    garment = catalog.garments.loc[1]
    np.testing.assert_array_equal(garment["box"], [10, 20, 55, 70])
    np.testing.assert_array_equal(garment["landmarks"], item("skirt")["landmarks"])
    assert (garment["style"], garment["viewpoint"]) == (3, 0)
    assert catalog.images.loc[1, "pair_id"] == 8


def test_a_file_and_a_folder_a_split(data):
    write(data, [image(1)], [annotation(1, 1)], "train.json", "train/image")
    write(
        data,
        [image(1), image(2)],
        [annotation(1, 1), annotation(2, 2)],
        "validation.json",
        "validation",
    )
    catalog = data.ingest(source="coco", max_quarantined=0)
    assert catalog.images["split"].tolist() == ["train", "validation", "validation"]
    assert catalog.images["file_name"].tolist()[:2] == [
        "train/image/000001.jpg",
        "validation/000001.jpg",
    ]


def test_root_may_be_the_file_itself(data):
    write(data, [image(1)], [annotation(1, 1)], "validation.json")
    catalog = data.ingest(source="coco", root="data/raw/validation.json", copy_images=False)
    assert catalog.images["split"].tolist() == ["validation"]
    assert catalog.image(1).shape == (HEIGHT, WIDTH, 3)


def test_categories_go_by_name_and_keypoints_may_be_the_own_ones(data):
    write(
        data,
        [image(1)],
        [annotation(1, 1, category_id=70, keypoints=item("vest_dress")["landmarks"])],
        categories=[{"id": 70, "name": "vest_dress"}],
    )
    assert data.ingest(source="coco").garments["category_id"].tolist() == [12]


@pytest.mark.parametrize(
    ("images", "annotations", "expected"),
    [
        ([image(1)], [annotation(1, 1, category_id=14)], ("1", "unknown category")),
        ([image(1)], [annotation(1, 1, keypoints=[0] * 243)], ("1", "wrong landmark count")),
        ([image(1)], [annotation(1, 1, category_id=5)], ("1", "wrong landmark count")),
        ([image(1)], [annotation(1, 1, bbox=[10, 20, 0, 5])], ("1", "empty or inverted box")),
        (
            [image(1)],
            [annotation(1, 1, bbox=[10, 20, float("nan"), 5])],
            ("1", "coordinate not finite"),
        ),
        ([image(1, width=61)], [annotation(1, 1)], ("", "size disagrees with labels")),
        ([image(1)], [annotation(1, 2)], ("", "labels without image")),
        ([image(1), image(2, "000001.jpg")], [annotation(1, 2)], ("image 2", "duplicate image name")),
        ([image(1, "../1.jpg")], [annotation(1, 1)], ("image 1", "path leads outside the data set")),
        ([image(1, "/etc/1.jpg")], [annotation(1, 1)], ("image 1", "path leads outside the data set")),
        ([image(1, "C:\\1.jpg")], [annotation(1, 1)], ("image 1", "path leads outside the data set")),
        ([image(1, "..\\1.jpg")], [annotation(1, 1)], ("image 1", "path leads outside the data set")),
    ],
)
def test_invalid_records(data, images, annotations, expected):
    write(data, [*images, image(9)], [*annotations, annotation(99, 9)])
    garments = data.ingest(source="coco").garments
    assert garments["item"].tolist() == ["99"]
    assert expected in [(i, reason) for _, i, reason in data.refusals]


def test_a_missing_image_costs_its_garments_only(data):
    write(data, [image(1), image(2)], [annotation(1, 1), annotation(2, 1), annotation(3, 2)])
    (data.root / "image" / "000001.jpg").unlink()
    data.ingest(source="coco")
    assert data.refusals == [("image/000001.jpg", "", "image missing")]
    assert data.metrics["quarantined"] == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("hello", "not JSON"),
        ('{"images": [{"id": 1}, {"id"', "not JSON"),
        ('{"images": [], "annotations": []} tail', "not JSON"),
        ("[1, 2]", "JSON of another shape"),
        ('{"images": [{"id": 1}]}', "JSON of another shape"),
        ('{"images": [1, 2], "annotations": [{}]}', "JSON of another shape"),
    ],
)
def test_an_unreadable_file_is_one_refusal(data, text, reason):
    write(data, [image(1)], [annotation(1, 1)], "train.json", "train")
    write(data, [], [], "validation.json", "validation")
    (data.root / "validation.json").write_text(text)
    data.ingest(source="coco")
    assert data.refusals == [("validation.json", "", reason)]


def test_a_split_of_which_nothing_is_left_fails_the_step(data):
    write(
        data,
        [image(i) for i in range(1, 9)],
        [annotation(i, i) for i in range(1, 9)],
        "train.json",
        "train",
    )
    write(data, [], [], "validation.json", "validation")
    (data.root / "validation.json").write_text("{")
    with pytest.raises(ValueError, match="nothing is left of split validation"):
        data.ingest(source="coco", max_quarantined=0.5)


def test_elements_agree_with_a_json_parser():
    content = {
        "info": {"images": [{"id": "not this"}], "text": 'a "quoted" ] } \\'},
        "images": [{"id": 1, "name": "}]{["}, {"deep": {"er": [{"x": '\\"'}, []]}}],
        "empty": [],
        "annotations": [{"a": [[1, 2], [3]]}, {}],
    }
    for indent in (None, 2):
        data = json.dumps(content, indent=indent).encode()
        found = [(e.section, json.loads(data[e.start : e.end])) for e in elements(data)]
        expected = [(k, e) for k in ("images", "annotations") for e in content[k]]
        assert found == expected


@pytest.mark.parametrize(
    "text", ['{"a": [{} {}]}', '{"a": [{},]}', '{"a": [{}, 1]}', '{"a": [{}]', "{}}"]
)
def test_elements_refuse_what_is_no_list_of_objects(text):
    with pytest.raises(Refused):
        list(elements(text.encode()))


def test_the_real_coco_sample(data):
    sample = SAMPLES / "deepfashion2_demo"
    if not sample.is_dir():
        pytest.skip("../shared/samples is missing")
    catalog = data.ingest(source="coco", root=str(sample), max_quarantined=0)
    assert data.metrics["images"] == 32
    assert data.metrics["garments"] == 55
    assert data.metrics["quarantined"] == 0
    assert catalog.garments["num_labelled"].sum() == 956
    assert sorted(set(catalog.garments["category_id"])) == [1, 2, 4, 5, 7, 8, 9, 10, 12, 13]
    content = json.loads((sample / "annotations_coco.json").read_text())
    by_id = {a["id"]: a for a in content["annotations"]}
    for row in catalog.garments.itertuples():
        truth = by_id[int(row.item)]
        slots = category(int(row.category_id)).slots
        own = np.reshape(truth["keypoints"], (-1, 3))[slots]
        np.testing.assert_array_equal(np.reshape(row.landmarks, (-1, 3)), own)
        x, y, w, h = truth["bbox"]
        np.testing.assert_array_equal(row.box, [x, y, x + w, y + h])
    for i in catalog.images["image_id"]:
        assert catalog.image(i).shape[:2] == (
            catalog.images.loc[i, "height"],
            catalog.images.loc[i, "width"],
        )
