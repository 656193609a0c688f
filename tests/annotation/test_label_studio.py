"""Label Studio's JSON as its documentation shows it: percentages, parents, addresses, predictions."""

import numpy as np
import pytest
from annotated import HEIGHT, WIDTH, garment, photo, put_json, put_photo, scored

from fashion_ops.annotation import formats, label_studio
from fashion_ops.annotation.files import Export
from fashion_ops.annotation.photos import AnnotatedPhoto
from fashion_ops.catalog.sources.base import parse_json
from fashion_ops.taxonomy import category

NAMES = category("skirt").landmark_names


def region(kind, key, value, **more):
    """A region as it stands in an export; the photo is 96 x 128."""
    facts = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    tools = {"from_name": "tag", "to_name": "img", "source": "$image", "origin": "manual"}
    return {"id": key, "type": kind, **facts, **tools, "value": value, **more}


def box(key="box", label="skirt", **more):
    place = {"x": 12.5, "y": 25.0, "width": 50.0, "height": 50.0, "rotation": 0}
    return region("rectanglelabels", key, place | {"rectanglelabels": [label]} | more)


def point(index, key="", x=25.0, y=50.0, **more):
    value = {"x": x, "y": y, "width": 0.3, "keypointlabels": [NAMES[index]]}
    return region("keypointlabels", key or f"p{index}", value, **more)


def task(result, number=1, image="/data/upload/3/1a2b3c4d-a.jpg", **more):
    """A task with one annotation, or with ``annotations``."""
    made = {"id": 1001, "completed_by": 10, "result": result, "was_cancelled": False}
    dates = {"created_at": "2026-03-09T21:52:49.513742Z", "project": 83}
    data = {"image": image}
    base = {"id": number, **dates, "data": data, "annotations": [made | {"ground_truth": False}]}
    return base | {"predictions": []} | more


def read(tmp_path, *tasks, images=None):
    put_json(tmp_path / "project-1.json", list(tasks))
    found = list(label_studio.read(Export(tmp_path / "project-1.json", images)))
    photos = [p for p in found if isinstance(p, AnnotatedPhoto)]
    return photos, [p for p in found if not isinstance(p, AnnotatedPhoto)]


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/3/1a2b3c4d-Gr%C3%B6%C3%9Fe%201.jpg",
        "/data/local-files/?d=shop/photos/Gr%C3%B6%C3%9Fe%201.jpg",
        "s3://bucket/shop/photos/Größe 1.jpg",
        "https://shop.example/photos/Gr%C3%B6%C3%9Fe%201.jpg?width=600",
        "Größe 1.jpg",
        "/mnt/photos/Größe 1.jpg",
    ],
)
def test_every_kind_of_address_finds_the_photo(tmp_path, address):
    put_photo(tmp_path / "photos" / "Größe 1.jpg")
    photos, refused = read(tmp_path, task([box(), point(0)], image=address), images=tmp_path / "photos")
    assert not refused and photos[0].name.endswith("Größe 1.jpg")
    item = photos[0].labels.items[0]
    assert item.box == [12, 32, 60, 96] and item.landmarks[:3] == [24, 64, 2]


def test_an_upload_keeps_its_own_name_where_the_prefix_is_on_disk(tmp_path):
    put_photo(tmp_path / "images" / "1a2b3c4d-a.jpg")
    photos, _ = read(tmp_path, task([box(), point(0)]))
    assert photos[0].name == "1a2b3c4d-a.jpg"


@pytest.mark.parametrize(
    "address", ["/data/local-files/?d=../../etc/x.jpg", "/data/upload/../../x.jpg", "../x.jpg"]
)
def test_an_address_that_leads_elsewhere_is_refused(tmp_path, address):
    put_photo(tmp_path.parent / "x.jpg")
    _, refused = read(tmp_path, task([box()], image=address), images=tmp_path)
    assert [r.reason for r in refused] == ["path leads outside the data set"]


def test_key_points_belong_to_their_parent_to_a_relation_or_to_the_only_rectangle(tmp_path):
    put_photo(tmp_path / "a.jpg")
    put_photo(tmp_path / "b.jpg")
    hidden = region("choices", "p2", {"x": 25.0, "y": 50.0, "width": 0.3, "choices": ["hidden"]})
    relation = {"type": "relation", "from_id": "q1", "to_id": "two", "direction": "right"}
    style = region("number", "one", {"number": 4}, from_name="style")
    photos, refused = read(
        tmp_path,
        task(
            [
                *(box("one"), box("two")),
                *(point(0, parentID="one"), point(2, parentID="one"), hidden),
                *(point(1, "q1", x=75.0), relation, style),
            ]
        ),
        task([box("only"), point(3)], 2, "/data/upload/3/5e6f7a8b-b.jpg"),
        images=tmp_path,
    )
    assert not refused
    one, two = photos[0].labels.items
    assert np.reshape(one.landmarks, (-1, 3))[:, 2].tolist() == [2, 0, 1, 0, 0, 0, 0, 0]
    assert np.reshape(two.landmarks, (-1, 3))[1].tolist() == [72, 64, 2] and (one.style, two.style) == (
        4,
        0,
    )
    assert photos[1].labels.items[0].landmarks[9:12] == [24, 64, 2]


def test_predictions_and_cancelled_annotations_are_no_labels_and_an_empty_one_is_a_negative(tmp_path):
    put_photo(tmp_path / "a.jpg")
    made = {"model_version": "model 1", "result": [box()]}
    cancelled = {"result": [box()], "was_cancelled": True}
    photos, notes = read(
        tmp_path,
        task([], 1, annotations=[], predictions=[made]),
        task([], 2, annotations=[cancelled]),
        task([], 3),
        images=tmp_path,
    )
    assert [p.labels.items for p in photos] == [[]] and "task 3" in photos[0].place
    assert [n.value for n in notes] == [
        "2 tasks have no annotation and are not used; predictions are no labels"
    ]


def test_of_two_annotations_the_ground_truth_counts(tmp_path):
    put_photo(tmp_path / "a.jpg")
    one, two = {"result": []}, {"result": [box(), point(0)], "ground_truth": True}
    photos, refused = read(
        tmp_path,
        task([], 1, annotations=[one, two]),
        task([], 2, annotations=[one, one]),
        images=tmp_path,
    )
    assert len(photos[0].labels.items) == 1
    assert refused[0].value == "2 annotations; mark one as ground truth, or delete the others"


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ([box(label="jeans")], "unknown category"),
        ([box(rotation=5)], "is rotated by 5 degrees; draw it upright"),
        ([box("one"), box("two"), point(0)], "make a rectangle its parent"),
        ([box(), point(0), point(0, "again")], "stands twice; delete one"),
        ([box() | {"original_width": 97}], "its labels say 97x128"),
        ([box() | {"image_rotation": 90}], "rotated in Label Studio"),
        ([box() | {"value": {"x": "far"}}], "annotations.0.result.0.value.x is far"),
        ([point(0)], "of which garment is the keypoint p0"),
        (
            [box(), region("choices", "p0", {"choices": ["maybe"]}), point(0)],
            "expected visible or hidden",
        ),
        (
            [box(), region("number", "box", {"number": 7}, from_name="scale"), point(0)],
            "scale 7; expected 0..3",
        ),
    ],
)
def test_what_is_wrong_names_task_value_and_mend(tmp_path, result, said):
    put_photo(tmp_path / "in" / "a.jpg")
    put_json(tmp_path / "in" / "result.json", [task(result, 17)])
    with pytest.raises(formats.LabelError) as caught:
        formats.import_labels(
            "label-studio", tmp_path / "in" / "result.json", tmp_path / "batch", tmp_path / "in"
        )
    assert said in str(caught.value) and "result.json task 17" in str(caught.value)


def test_other_json_is_refused(tmp_path):
    for content, said in (({}, "no list of tasks"), ([{"image": "a.jpg", "kp": []}], "JSON-MIN")):
        put_json(tmp_path / "a.json", content)
        with pytest.raises(formats.LabelError, match=said):
            formats.import_labels("label-studio", tmp_path / "a.json", tmp_path / "batch")


def test_what_a_model_labels_becomes_predictions_with_scores(tmp_path):
    labelled = scored(photo("a.jpg", [garment("skirt", np.random.default_rng(0))]))
    assert formats.export_labels("label-studio", [labelled], tmp_path / "out") == []
    (made,) = parse_json((tmp_path / "out" / "tasks.json").read_bytes())
    assert made["annotations"] == [] and made["data"]["image"] == "/data/local-files/?d=images/a.jpg"
    (prediction,) = made["predictions"]
    assert prediction["model_version"] == "models/7" and prediction["score"] == 0.75
    config = (tmp_path / "out" / "label_config.xml").read_text()
    used = {r["from_name"] for r in prediction["result"]}
    assert all(f'name="{name}"' in config for name in used)
    used_labels = [v for r in prediction["result"] for v in r["value"].get("keypointlabels", [])]
    assert used_labels and all(f'value="{label}"' in config for label in used_labels)
