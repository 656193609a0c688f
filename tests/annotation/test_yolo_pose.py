"""YOLO-pose as Ultralytics documents it: padding, its table, missing labels, paths, broken lines."""

import numpy as np
import pytest
import yaml
from annotated import HEIGHT, WIDTH, everything, put_photo

from fashion_ops.annotation import formats, yolo_pose
from fashion_ops.annotation.files import Export
from fashion_ops.annotation.photos import AnnotatedPhoto
from fashion_ops.annotation.yolo_pose import FLIP, NUM_SLOTS, slots_of
from fashion_ops.taxonomy import CATEGORIES, category

POINTS = [(0.25, 0.5, 2)] * 7 + [(0.0, 0.0, 0)]


def line(number=0, points=POINTS, dims=3):
    values = [number, 0.5, 0.5, 0.5, 0.25, *(v for p in points for v in p[:dims])]
    return " ".join(map(str, values))


def data_set(folder, text=None, photo="images/train/a.jpg", **changes):
    put_photo(folder / photo)
    data = {"path": "skirts", "train": "images/train", "kpt_shape": [8, 3], "names": {0: "skirt"}}
    (folder / "data.yaml").write_text(yaml.safe_dump(data | changes))
    if text is not None:
        labels = folder / photo.replace("images", "labels").replace(".jpg", ".txt")
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text(text)
    return Export(folder)


def read(export):
    found = list(yolo_pose.read(export))
    return [p for p in found if isinstance(p, AnnotatedPhoto)], found


def test_a_set_of_one_category_needs_no_table(tmp_path):
    (photo,), _ = read(data_set(tmp_path, line() + "\n\n"))
    (item,) = photo.labels.items
    assert item.category == 9 and item.box == [24, 48, 72, 80]
    assert item.landmarks[:3] == [24, 64, 2] and item.landmarks[-3:] == [0, 0, 0]


def test_a_photo_without_a_label_file_shows_no_garment(tmp_path):
    (photo,), _ = read(data_set(tmp_path))
    assert photo.labels.items == [] and photo.name == "a.jpg"


def test_key_points_without_visibility_are_visible_unless_they_are_at_0_0(tmp_path):
    (photo,), _ = read(data_set(tmp_path, line(dims=2), kpt_shape=[8, 2]))
    assert photo.labels.items[0].landmarks[2::3] == [2] * 7 + [0]


@pytest.mark.parametrize(
    ("photo", "named"),
    [("train/images/a.jpg", "train/images"), ("images/train/sub/a.jpg", "images/train")],
)
def test_labels_lie_where_the_last_folder_images_is_called_labels(tmp_path, photo, named):
    (found,), _ = read(data_set(tmp_path, line(), photo, train=named))
    assert len(found.labels.items) == 1


def test_a_list_of_photos_names_the_split_and_names_may_be_a_list(tmp_path):
    export = data_set(tmp_path, line(), train=None, val="val.txt", names=["skirt"])
    (tmp_path / "val.txt").write_text("./images/train/a.jpg\n")
    (photo,), _ = read(export)
    assert photo.split == "validation" and len(photo.labels.items) == 1


@pytest.mark.parametrize(
    ("changes", "text", "said"),
    [
        ({}, line(1), "labels/train/a.txt line 1: class 1; names has [0]"),
        ({}, line() + " 0.5", "line 1: 30 numbers; expected 29: class, box, 8 key points of 3"),
        ({}, "0 a b", "line 1: '0 a b'; expected numbers"),
        ({}, line(points=[(0.25, 0.5, 3)] * 8), "visibility outside 0..2"),
        ({"names": ["jeans"]}, line(), "unknown category: 'jeans'; rename"),
        ({"kpt_shape": [9, 3]}, line(), "write landmarks.csv with the columns category, slot"),
        ({"kpt_shape": [8, 4]}, line(), "expected [slots, 2 or 3]"),
        ({"kpt_shape": "8x3"}, line(), "kpt_shape is 8x3"),
        ({"train": "../train/images"}, line(), "../train/images; write it relative"),
        ({"train": "/content/train"}, line(), "/content/train; write it relative"),
        ({"train": "images/none"}, line(), "images/none: no folder and no list of photos"),
    ],
)
def test_what_is_wrong_names_file_line_value_and_mend(tmp_path, changes, text, said):
    data_set(tmp_path / "in", text, **changes)
    with pytest.raises(formats.LabelError) as caught:
        formats.import_labels("yolo-pose", tmp_path / "in", tmp_path / "batch")
    assert said in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "batch").exists()


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("data.yaml", b"train: 2024-99-99\n", "data.yaml: cannot be read as YAML: month must be in"),
        ("data.yaml", b"train: " + b"[" * 20_000, "data.yaml: cannot be read as YAML: maximum rec"),
        ("data.yaml", b"train: !!timestamp x\n", "data.yaml: cannot be read as YAML"),
        ("list.txt", b"\xff\xfe\x00", "list.txt: cannot be read as a list of photos"),
        ("list.txt", b"images/train/a.jpg\n.\n", "list.txt line 2: file name '.'"),
        ("list.txt", b"images/train/a.jpg\n./images/train/a.jpg", "line 2: images/train/a.jpg: its"),
        ("landmarks.csv", b"category,slot,landmark\n\xff", "landmarks.csv: cannot be read as CSV"),
        ("landmarks.csv", b"category,slot\n" + b"x" * 200_000, "landmarks.csv: cannot be read as CSV"),
        ("images/train/a.png", b"no photo", "a.txt is of a.jpg and of a.png; rename one"),
        ("labels/train/b.txt", b"", "labels/train/b.txt: labels without image: no photo of its name"),
    ],
)
def test_files_that_are_broken_or_of_no_photo_are_refused_in_one_line(tmp_path, file, content, said):
    place = "list.txt" if file == "list.txt" else "images/train"
    data_set(tmp_path / "in", line(), train=place)
    (tmp_path / "in" / file).write_bytes(content)
    with pytest.raises(ValueError) as caught:
        formats.import_labels("yolo-pose", tmp_path / "in", tmp_path / "batch")
    assert said in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "batch").exists()


def test_a_byte_order_mark_is_no_part_of_any_file(tmp_path):
    export = data_set(tmp_path, line(), train="list.txt")
    (tmp_path / "list.txt").write_text("images/train/a.jpg\n")
    for path in (tmp_path / "data.yaml", tmp_path / "list.txt", tmp_path / "labels/train/a.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    (photo,), found = read(export)
    assert len(photo.labels.items) == 1 and len(found) == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("skirt,8,1", "line 2: slot is 8; kpt_shape has 8"),
        ("skirt,0,knee", "line 2: 'knee'; name it 1..8"),
        ("skirt,first,1", "line 2: slot is first"),
        ("skirt,0,1", "skirt needs 8 landmarks in different slots"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, row, said):
    data_set(tmp_path, line())
    (tmp_path / "landmarks.csv").write_text(f"category,slot,landmark\n{row}\n")
    with pytest.raises(formats.LabelError, match=said):
        formats.import_labels("yolo-pose", tmp_path, tmp_path / "batch")


def test_one_mirror_order_is_that_of_every_category():
    """Ultralytics flips all classes by ``flip_idx``: it must swap each pair of each category."""
    assert NUM_SLOTS == 41 and sorted(FLIP) == list(range(NUM_SLOTS))
    for kind in CATEGORIES:
        slots = np.array(slots_of(kind.id))
        assert len(set(slots.tolist())) == kind.num_landmarks and slots.max() < NUM_SLOTS
        np.testing.assert_array_equal(np.array(FLIP)[slots], slots[kind.mirror()])


def test_the_written_files_hold_what_ultralytics_asks_for(tmp_path):
    """One length for all lines, shares within 0..1, a label file for each photo, the table."""
    photos = everything()
    formats.export_labels("yolo-pose", photos, tmp_path / "out")
    data = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert data["kpt_shape"] == [41, 3] and data["flip_idx"] == FLIP and len(data["names"]) == 13
    assert (data["train"], data["val"]) == ("images/train", "images/validation")
    files = sorted((tmp_path / "out" / "labels").rglob("*.txt"))
    assert len(files) == len(photos)
    rows = [[float(v) for v in r.split()] for f in files for r in f.read_text().splitlines()]
    assert {len(row) for row in rows} == {5 + 3 * 41}
    boxes = np.array(rows)[:, 1:5]
    assert (boxes >= 0).all() and (boxes <= 1).all()
    table = (tmp_path / "out" / "landmarks.csv").read_text().splitlines()
    assert table[0] == "class,category,slot,number,landmark" and len(table) == 295
    assert (WIDTH, HEIGHT) == (96, 128) and category("skirt").num_landmarks == 8
