"""Broken values in exports of labelling tools: one line names file and record, nothing is written."""

import json
import shutil
from pathlib import Path

import pytest
from annotated import photo, put_photo, skirt
from typer.testing import CliRunner

from fashion_ops import cli
from fashion_ops.annotation import formats

FILES = {
    "cvat": "annotations.xml",
    "label-studio": "tasks.json",
    "fiftyone": "samples.json",
    "coco": "annotations/person_keypoints_train.json",
}
CVAT = {
    "a pair id of 30 digits": ('"pair_id">3', f'"pair_id">{"9" * 30}', "pair_id is 999"),
    "a pair id of 5000 digits": ('"pair_id">3', f'"pair_id">{"9" * 5000}', "pair_id is 999"),
    "a style of 5000 digits": ('"style">0', f'"style">{"9" * 5000}', "style is '999"),
    "a point of 5000 digits": ('label="left_waist"', f'label="{"9" * 5000}"', "unknown landmark"),
    "a width of 400 digits": ('width="96"', f'width="{"9" * 400}"', "width is 999"),
    "the current folder as photo": ('name="a.jpg"', 'name="."', "file name '.'"),
    "a name of 300 characters": ('name="a.jpg"', f'name="{"x" * 300}.jpg"', "image missing: xxx"),
    "no URL": ('name="a.jpg"', 'name="http://[x/a.jpg"', "no URL: Invalid IPv6"),
    "a photo labelled twice": ('name="b.jpg"', 'name="a.jpg"', "its photo a.jpg has labels already"),
}


@pytest.fixture(scope="module")
def exports(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    photos = [
        photo("a.jpg", [skirt()], 1, source="shop", pair_id=3),
        photo("b.jpg", [skirt(), skirt()], 2),
    ]
    for name in FILES:
        formats.export_labels(name, photos, folder / name)
    return folder


@pytest.fixture
def refused(exports, tmp_path, monkeypatch):
    """Imports a changed copy of an export, which must be refused in one line; returns the line."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def run(name, change):
        shutil.copytree(exports / name, tmp_path / "in")
        path = tmp_path / "in" / FILES[name]
        path.write_text(change(path.read_text()))
        words = [str(tmp_path / "in"), "--format", name, "--out", str(tmp_path / "out")]
        done = CliRunner().invoke(cli.app, ["labels", "import", *words])
        assert done.exit_code == 2 and not (tmp_path / "out").exists(), done.stderr
        assert len(done.stderr.splitlines()) == 1 and "fault of the program" not in done.stderr
        return done.stderr

    return run


def changed(edit):
    """Changes JSON text by a function of what it holds."""

    def change(text):
        content = json.loads(text)
        edit(content)
        return json.dumps(content)

    return change


@pytest.mark.parametrize("case", CVAT)
def test_a_broken_value_of_cvat_is_named(refused, case):
    old, new, said = CVAT[case]
    line = refused("cvat", lambda text: text.replace(old, new, 1))
    assert "annotations.xml image" in line and said in line


def results(tasks, number=0):
    return tasks[number]["annotations"][0]["result"]


def style(value):
    facts = {"id": "garment-1", "type": "number", "from_name": "style", "value": {"number": value}}
    return lambda tasks: results(tasks).append(facts)


def named(name):
    return lambda tasks: tasks[0]["data"].update(image=name)


LABEL_STUDIO = {
    "a number that is none": (style(float("nan")), "style nan"),
    "an infinite number": (style(float("inf")), "style inf"),
    "a URL of a folder": (named("https://host/."), "file name 'https://host/.'"),
    "a folder of its server": (named("/data/local-files/?d=."), "file name '/data/local-files/?d=.'"),
    "a task twice": (lambda tasks: tasks.append(tasks[0]), "its photo a.jpg has labels already"),
    "an upload of the same name": (
        lambda tasks: tasks[1]["data"].update(image="/data/upload/1/0a1b2c3d-a.jpg"),
        "its photo a.jpg has labels already",
    ),
    "two rectangles with one id": (
        lambda tasks: results(tasks, 1).append(dict(results(tasks, 1)[0])),
        "id given twice: rectangle 'garment-1'",
    ),
}


def first_point(value):
    def edit(content):
        content["samples"][0]["landmarks"]["keypoints"][0]["points"][0] = [value, 0.5]

    return edit


FIFTYONE = {
    "a list for a number": (first_point({"$numberDouble": [1]}), "points.0.0 is {'$numberDouble'"),
    "nothing for a number": (first_point({"$numberDouble": None}), "points.0.0 is {'$numberDouble'"),
    "a field of text": (
        lambda content: content["samples"][0]["landmarks"].update(keypoints="x"),
        "expected an object with a list keypoints",
    ),
    "the current folder as photo": (
        lambda content: content["samples"][0].update(filepath="."),
        "file name '.'",
    ),
    "a sample twice": (
        lambda content: content["samples"].append(content["samples"][0]),
        "its photo a.jpg has labels already",
    ),
}


RECORD = {"label-studio": "tasks.json task", "fiftyone": "samples.json sample"}
BROKEN = [("label-studio", *case) for case in LABEL_STUDIO.values()]
BROKEN += [("fiftyone", *case) for case in FIFTYONE.values()]


@pytest.mark.parametrize(("form", "edit", "said"), BROKEN, ids=[*LABEL_STUDIO, *FIFTYONE])
def test_a_broken_value_is_named_with_its_record(refused, form, edit, said):
    line = refused(form, changed(edit))
    assert RECORD[form] in line and said in line


def test_a_name_that_no_file_can_have_is_a_missing_photo_of_coco(refused):
    def edit(content):
        content["images"][0]["file_name"] = f"{'x' * 300}.jpg"

    line = refused("coco", changed(edit))
    assert "person_keypoints_train.json image 1: image missing" in line


def test_two_photos_that_a_folder_has_only_once_are_not_both_its_photo(exports, tmp_path):
    """A flat folder of photos has one a.jpg; two records of different folders mean it."""
    shutil.copytree(exports / "cvat", tmp_path / "in")
    path = tmp_path / "in" / "annotations.xml"
    text = path.read_text().replace('name="a.jpg"', 'name="s/a.jpg"').replace("b.jpg", "m/a.jpg")
    path.write_text(text)
    put_photo(tmp_path / "photos" / "a.jpg")
    with pytest.raises(
        formats.LabelError, match=r"m/a\.jpg: its photo a\.jpg has labels already, as s/"
    ):
        formats.import_labels("cvat", tmp_path / "in", tmp_path / "out", tmp_path / "photos")
