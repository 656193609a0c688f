"""The names of predict's results: one for each photo, none in the place of a photo."""

import json
import os
from pathlib import Path

import pytest

from fashion_ops.commands.result_names import MARK, result_names
from fashion_ops.files.outputs import OutputRefused


@pytest.fixture
def photos(tmp_path: Path):
    """Makes photos below a folder; returns their paths."""

    def make(*names: str) -> list[Path]:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"a photo")
        return [tmp_path / name for name in names]

    return make


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["s/shirt.png", "s/dress.jpg"], ["shirt", "dress"]),
        (["s/dress.jpg", "s/dress.png", "s/shirt.png"], ["dress.jpg", "dress.png", "shirt"]),
        (["a/dress.jpg", "b/dress.jpg"], ["a-dress.jpg", "b-dress.jpg"]),
        (["x/a/dress.jpg", "y/a/dress.jpg"], ["x-a-dress.jpg", "y-a-dress.jpg"]),
        (["a/dress.jpg", "b/dress.png"], ["dress.jpg", "dress.png"]),
        (["a/Dress.jpg", "b/dress.JPG"], ["a-Dress.jpg", "b-dress.JPG"]),  # one name on many disks
        (["a/Dress.jpg", "a/dress.jpg"], ["Dress", "dress-2"]),
        (["a/stra\u00dfe.jpg", "a/STRASSE.png"], ["stra\u00dfe.jpg", "STRASSE.png"]),
        (["a/caf\u00e9.jpg", "a/cafe\u0301.png"], ["caf\u00e9.jpg", "cafe\u0301.png"]),
        (["s/dress.jpg", "s/dress.jpg"], ["dress", "dress"]),  # the same photo, twice
        (["s/dress", "s/.dress"], ["dress", ".dress"]),
    ],
)
def test_each_photo_has_a_name_of_its_own(tmp_path: Path, photos, given, names) -> None:
    assert result_names(photos(*given), tmp_path / "out") == names


def test_no_result_takes_the_place_of_a_photo(tmp_path: Path, photos) -> None:
    shirt, dress, jacket = photos("shirt.png", "dress.jpg", "jacket.png.png")
    assert result_names([shirt, dress], tmp_path) == ["shirt.png", "dress"]
    (png,) = photos("dress.png")
    assert result_names([dress, png], tmp_path) == ["dress.jpg", "dress.png"]
    assert result_names([jacket], tmp_path) == ["jacket.png.png"]
    (tmp_path / "other").mkdir()
    os.link(shirt, tmp_path / "other" / "dress.png")  # a photo of this call, by another name
    assert result_names([shirt, dress], tmp_path / "other") == ["shirt", "dress.jpg"]


def leave_result(out: Path, name: str, photo: str) -> None:
    out.mkdir(exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps({"photo": photo, "garments": []}))
    (out / f"{name}.png").write_bytes(MARK.encode())


def test_an_earlier_result_is_replaced_by_that_of_the_same_photo_only(tmp_path: Path, photos) -> None:
    jpg, png = photos("s/dress.jpg", "s/dress.png")
    leave_result(tmp_path / "out", "dress", "dress.jpg")
    assert result_names([jpg], tmp_path / "out") == ["dress"]
    assert result_names([png], tmp_path / "out") == ["dress.png"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "dress.json",
            '{"version": "5.0", "shapes": [], "imagePath": "dress.jpg"}',
        ),  # of a labelling tool
        ("dress.json", '{"photo": 3, "garments": []}'),
        ("dress.json", "[" * 100_000),
        ("dress.json", ""),
        ("dress.png", "somebody's drawing"),
    ],
)
def test_a_file_of_somebody_else_is_refused_before_work_begins(
    tmp_path: Path, photos, name: str, content: str
) -> None:
    (photo,) = photos("s/dress.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text(content)
    with pytest.raises(OutputRefused, match=f"{name}: exists.*--out") as caught:
        result_names([photo], tmp_path / "out")
    assert "\n" not in str(caught.value) and (tmp_path / "out" / name).read_text() == content


def test_links_and_folders_in_place_of_results_are_refused(tmp_path: Path, photos) -> None:
    (photo,) = photos("s/dress.jpg")
    leave_result(tmp_path / "earlier", "dress", "dress.jpg")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "dress.json").symlink_to(tmp_path / "earlier" / "dress.json")
    (tmp_path / "folder" / "dress.png").mkdir(parents=True)
    for out in ("link", "folder"):
        with pytest.raises(OutputRefused):
            result_names([photo], tmp_path / out)
    with pytest.raises(OutputRefused, match=r"dress\.jpg is a file"):
        result_names([photo], photo)


def test_a_name_as_long_as_the_disk_allows_still_has_room_for_a_suffix(tmp_path: Path, photos) -> None:
    (tmp_path / "out").mkdir()
    names = result_names(photos(f"{'a' * 251}.jpg", f"{'a' * 250}b.jpg"), tmp_path / "out")
    assert len({*names}) == 2
    for name in names:
        (tmp_path / "out" / f"{name}.json").touch()
