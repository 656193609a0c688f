"""What a command may replace: nothing but what it made itself."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from fashion_ops.files.outputs import (
    FileKind,
    FolderKind,
    OutputRefused,
    carries,
    check_above,
    check_file,
    check_folder,
    check_new,
    marked_png,
)

FOLDER = FolderKind(
    "cook", ("dish-*.txt", "menu.txt"), lambda f: "cooked" in (f / "menu.txt").read_text()
)
FILE = FileKind("cook", "cooked here")


def tree(root: Path) -> dict[str, str]:
    """Every path below a folder with what it is."""
    return {
        path.relative_to(root).as_posix(): str(path.readlink())
        if path.is_symlink()
        else path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own folder, folders that are not, an input, links and files."""
    files = {
        "own/menu.txt": "cooked",
        "own/dish-1.txt": "soup",
        "note/menu.txt": "cooked",
        "note/note.txt": "mine",
        "deep/menu.txt": "cooked",
        "deep/dish-1.txt/x": "mine",
        "other/menu.txt": "bought",
        "half/dish-1.txt": "mine",
        "mine/photo.jpg": "mine",
        "own.txt": f"{'x' * 70_000}cooked here{'x' * 70_000}",
        "head.txt": "cooked here" + "x" * 70_000,
        "tail.txt": "x" * 70_000 + "cooked here",
        "mine.txt": "mine",
        "input/menu.txt": "cooked",
        "input/dish-1.txt": "soup",
        "finder/menu.txt": "cooked",
        "finder/.DS_Store": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "own")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "menu.txt").symlink_to(tmp_path / "own" / "menu.txt")
    os.link(tmp_path / "head.txt", tmp_path / "second_name.txt")
    (tmp_path / "empty" / "below").mkdir()
    monkeypatch.chdir(tmp_path / "empty" / "below")
    return tmp_path


@pytest.mark.parametrize("name", ["new", "new/deep/er", "own", "finder", "linked/../own"])
def test_a_folder_that_is_new_or_the_commands_own_may_be_written(kitchen: Path, name: str) -> None:
    check_folder(kitchen / name, FOLDER, inputs=[kitchen / "input", kitchen / "mine.txt"])


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("note", "holds note.txt"),
        ("deep", "holds dish-1.txt"),
        ("linked", "holds menu.txt"),
        ("other", "exists"),
        ("half", "exists"),
        ("mine", "holds photo.jpg"),
        ("link", "is a link"),
        ("dangling", "is a link"),
        ("mine.txt", "is a file"),
        ("mine.txt/x/y", "mine.txt is a file"),
        ("input", "is the input"),
        ("input/../input", "is the input"),
        (".", "contains the input"),
        ("/", "contains the input"),
        ("empty/below", "is the current folder or one above"),
        ("n" * 256, "File name too long"),
    ],
)
def test_every_other_folder_is_refused_in_a_line_that_names_it(
    kitchen: Path, name: str, why: str
) -> None:
    before = tree(kitchen)
    with pytest.raises(OutputRefused) as caught:
        check_folder(kitchen / name, FOLDER, inputs=[kitchen / "input"])
    said = str(caught.value)
    assert why in said and "\n" not in said and ("another path" in said) and tree(kitchen) == before


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("own", "exists"),
        ("mine.txt", "exists"),
        ("link", "is a link"),
        ("dangling", "is a link"),
        ("vacant_link", "is a link"),
        (".", "contains the input"),
        ("input", "is the input"),
        ("empty/below", "is the current folder"),
        ("mine.txt/x", "is a file"),
        ("n" * 256, "File name too long"),
    ],
)
def test_what_must_be_new_is_neither_a_link_nor_the_current_folder_nor_of_others(
    kitchen: Path, name: str, why: str
) -> None:
    (kitchen / "vacant").mkdir()
    (kitchen / "vacant_link").symlink_to(kitchen / "vacant")
    for free in ("vacant", "new", "new/deep"):
        check_new(kitchen / free, inputs=[kitchen / "input"])
    with pytest.raises(OutputRefused, match=why):
        check_new(kitchen / name, inputs=[kitchen / "input"])
    with pytest.raises(OutputRefused, match=r"empty.below: is the current folder"):
        check_new(Path())


@pytest.mark.parametrize("name", ["new.txt", "new/deep.txt", "head.txt", "tail.txt"])
def test_a_file_that_is_new_or_has_the_mark_may_be_written(kitchen: Path, name: str) -> None:
    check_file(kitchen / name, FILE, inputs=[kitchen / "mine.txt", kitchen / "nowhere"])


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("mine.txt", "exists"),
        ("own.txt", "exists"),  # the mark is in the middle of the file only
        ("own", "is a folder"),
        ("link", "is a link"),
        ("dangling", "is a link"),
        ("tail.txt", "is the input"),
        ("second_name.txt", "is the input"),  # by another name
        ("mine.txt/x", "is a file"),
    ],
)
def test_every_other_file_is_refused_in_a_line_that_names_it(
    kitchen: Path, name: str, why: str
) -> None:
    before = tree(kitchen)
    with pytest.raises(OutputRefused) as caught:
        check_file(kitchen / name, FILE, inputs=[kitchen / "tail.txt", kitchen / "head.txt"])
    assert why in str(caught.value) and "\n" not in str(caught.value) and tree(kitchen) == before


def test_a_marked_png_shows_the_same_image(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    path = tmp_path / "x.png"
    path.write_bytes(marked_png(cv2.imencode(".png", pixels)[1].tobytes(), "cooked here"))
    assert (cv2.imread(str(path)) == pixels).all() and carries(path, "cooked here")


@pytest.mark.parametrize("given", ["s3://bucket/table", "gs://b", "file:///tmp/out", "HTTPS://a/b/c"])
def test_a_uri_is_no_place_for_results(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for check in (check_above, lambda t: check_folder(t, FOLDER), lambda t: check_file(t, FILE)):
        with pytest.raises(OutputRefused, match="looks like a URI, and results are written to a disk"):
            check(Path(given))
    assert not list(tmp_path.iterdir())
    (tmp_path / "s3:").mkdir()  # who has such a folder may use it
    check_above(Path("s3:/bucket"))
