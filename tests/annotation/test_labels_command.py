"""The commands ``labels``, import and export, in a workspace: inbox, catalog, model, archives."""

import shutil
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from annotated import HEIGHT, WIDTH, everything, put_photo
from PIL import Image
from raw_data import Data, item, jpeg
from typer.testing import CliRunner

from fashion_ops import cli
from fashion_ops.annotation import formats
from fashion_ops.annotation.exported import folder_photos
from fashion_ops.annotation.files import Export, file_names
from fashion_ops.annotation.photos import checked
from fashion_ops.annotation.prelabels import prelabelled
from fashion_ops.annotation.upright import as_stored
from fashion_ops.taxonomy import category

runner = CliRunner()


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A workspace with parameters; tests stand in it."""
    made = Data(tmp_path / "ws")
    made.ws.root.mkdir()
    made.ws.params.write_text("{}\n")
    monkeypatch.chdir(made.ws.root)
    monkeypatch.setenv("FASHION_OPS_ROOT", str(made.ws.root))
    return made


def run(*words):
    done = runner.invoke(cli.app, ["labels", *map(str, words)])
    assert done.exit_code == 0, done.stderr
    return done.stdout.splitlines()


def test_an_imported_cvat_batch_is_ingested_with_the_same_coordinates(data, tmp_path):
    photos = [photo for photo in everything() if photo.split == "train"]
    formats.export_labels("cvat", photos, tmp_path / "export")
    shutil.make_archive(str(tmp_path / "shop"), "zip", tmp_path / "export")
    lines = run("import", tmp_path / "shop.zip", "--format", "cvat", "--ready")
    inbox = data.ws.inbox
    assert lines == [
        "data/inbox/shop: 16 photos of train, 2 of them without garments; 16 garments",
        "marked as complete: data/inbox/shop.ready",
    ]
    assert sorted(p.name for p in inbox.iterdir()) == ["shop", "shop.ready"]
    data.add("000001", item())
    data.ws.batches.mkdir(parents=True)
    shutil.move(inbox / "shop", data.ws.batches / "0001-shop")  # as ``batches`` does
    catalog = data.ingest(max_quarantined=0)
    batch = catalog.garments[catalog.garments["image_id"] > 1]
    bytes_of = {catalog.image_bytes(i): i for i in catalog.images["image_id"]}
    for photo in photos:
        own = batch[batch["image_id"] == bytes_of[photo.load()]]
        assert len(own) == len(photo.labels.items)
        for expected, row in zip(photo.labels.items, own.itertuples(), strict=True):
            assert row.category_id == expected.category
            np.testing.assert_array_equal(row.landmarks, np.float32(expected.landmarks))
            np.testing.assert_array_equal(row.box, np.float32(expected.box))
            assert (row.style, row.scale) == (expected.style, expected.scale)


def test_the_catalog_is_exported_by_split_and_what_is_lost_is_printed(data, tmp_path):
    data.add("000001", item(), item("vest"))
    data.add("000002", item(), split="validation")
    data.ingest()
    lines = run("export", "--format", "coco", "--out", tmp_path / "out", "--split", "train")
    assert lines == [
        f"{tmp_path / 'out'}: 1 photos, 2 garments",
        *(f"coco cannot say: {name}: 2" for name in ("scale", "occlusion", "zoom-in", "viewpoint")),
    ]
    (photo,) = folder_photos(tmp_path / "out")
    assert photo.labels.items[0].landmarks == [float(v) for v in item()["landmarks"]]


def test_a_labelled_folder_is_exported_and_a_broken_record_of_it_is_named(data, tmp_path):
    data.add("000001", item())
    assert run("export", data.root, "--format", "cvat", "--out", tmp_path / "out") == [
        f"{tmp_path / 'out'}: 1 photos, 1 garments"
    ]
    data.add("000002", item(bounding_box=[1, 1, 0, 0]))
    done = runner.invoke(
        cli.app,
        ["labels", "export", str(data.root), "--format", "cvat", "--out", str(tmp_path / "two")],
    )
    assert done.exit_code == 2 and "annos/000002.json" in done.stderr.replace("\n", "")
    assert "empty or inverted box" in done.stderr and not (tmp_path / "two").exists()


@dataclass(frozen=True)
class Garment:
    """What ``inference.predictor.Garment`` gives, without its networks."""

    category: str
    score: float
    box: tuple[float, float, float, float]
    landmarks: dict[str, tuple[float, float, float]]


class Finder:
    """A model that finds a skirt whose landmark i is at (i * 20, 30), the last three outside."""

    def __init__(self):
        self.asked = []

    def predict(self, image, min_score):
        self.asked.append((Path(image).name, min_score))
        names = category("skirt").landmark_names
        places = {name: (20.0 * i, 30.0, 0.5 + 0.05 * i) for i, name in enumerate(names)}
        return [Garment("skirt", 0.9, (1.0, 2.0, 80.0, 90.0), places)]


def test_a_model_labels_the_photos_of_a_folder(data, tmp_path, monkeypatch):
    put_photo(tmp_path / "photos" / "shop" / "b.jpg")
    (tmp_path / "photos" / "notes.txt").write_text("x")
    finder = Finder()
    monkeypatch.setattr("fashion_ops.commands.labels.load_pipeline", lambda *_: finder)
    words = ("export", tmp_path / "photos", "--model", "models", "--format", "coco", "--out")
    run(*words, tmp_path / "sure", "--min-score", "0.5")
    lines = run(*words, tmp_path / "out")
    assert finder.asked == [("b.jpg", 0.5), ("b.jpg", None)]  # None: the score stored with the model
    assert lines[1:] == [
        "a model tells no visibility: its landmarks are written as visible",
        "coco cannot say: scores of garments: 1",
        "coco cannot say: scores of landmarks: 8",
    ]
    (photo,) = folder_photos(tmp_path / "out")
    assert photo.labels.items[0].landmarks[2::3] == [2, 2, 2, 2, 2, 0, 0, 0]


def test_a_photo_that_cannot_be_read_is_reported_and_the_others_are_labelled(
    data, tmp_path, monkeypatch
):
    put_photo(tmp_path / "photos" / "a.jpg")
    (tmp_path / "photos" / "b.jpg").write_text("no photo")
    monkeypatch.setattr("fashion_ops.commands.labels.load_pipeline", lambda *_: Finder())
    words = ["labels", "export", str(tmp_path / "photos"), "--model", "m", "--format", "yolo-pose"]
    done = runner.invoke(cli.app, [*words, "--out", str(tmp_path / "out")])
    assert done.exit_code == 1 and "b.jpg: image cannot be decoded" in done.stderr.replace("\n", "")
    assert "1 photos failed" in done.stderr
    assert [p.name for p in (tmp_path / "out" / "images" / "train").iterdir()] == ["a.jpg"]


def turned(path, orientation, kind="JPEG"):
    """A photo of 96 x 128 whose left half is black, with an EXIF orientation."""
    pixels = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    pixels[:, : WIDTH // 2] = 0
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, kind, exif=exif)


@pytest.mark.parametrize(("orientation", "black"), [(6, "top"), (8, "bottom"), (3, "right")])
def test_a_photo_that_exif_turns_is_saved_as_the_labels_see_it(tmp_path, orientation, black):
    turned(tmp_path / "a.jpg", orientation)
    found = prelabelled(tmp_path / "a.jpg", "a.jpg", Finder(), 0.3, "models")
    assert found.size == ((HEIGHT, WIDTH) if orientation > 4 else (WIDTH, HEIGHT))
    formats.export_labels("cvat", [found], tmp_path / "out")
    with Image.open(tmp_path / "out" / "images" / "a.jpg") as image:
        assert image.size == found.size and 0x0112 not in image.getexif()
        pixels = np.asarray(image.convert("L"), float)
    halves = {
        "top": pixels[: pixels.shape[0] // 2 - 4],
        "bottom": pixels[pixels.shape[0] // 2 + 4 :],
        "right": pixels[:, pixels.shape[1] // 2 + 4 :],
    }
    assert halves[black].mean() < 10


def test_labels_of_the_shown_photo_turn_it_and_labels_of_the_stored_one_do_not(tmp_path):
    """CVAT and Label Studio show a phone's photo upright, and label it so."""
    turned(tmp_path / "in" / "images" / "a.jpg", 6)
    for size, is_turned in (((HEIGHT, WIDTH), True), ((WIDTH, HEIGHT), False)):
        body = f'<image id="0" name="a.jpg" width="{size[0]}" height="{size[1]}"></image>'
        (tmp_path / "in" / "annotations.xml").write_text(f"<annotations>{body}</annotations>")
        (photo,) = checked(formats.FORMATS["cvat"].read(Export(tmp_path / "in")))
        assert photo.size == size
        same = photo.load() == (tmp_path / "in" / "images" / "a.jpg").read_bytes()
        assert same != is_turned


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_orientation_is_taken_off_without_a_change_of_pixels(tmp_path, kind):
    turned(tmp_path / "a", 6, kind)
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "b").write_bytes(as_stored(data))
    with Image.open(tmp_path / "a") as one, Image.open(tmp_path / "b") as other:
        assert 0x0112 in one.getexif() and 0x0112 not in other.getexif()
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert as_stored(jpeg()) == jpeg()


def test_names_stay_different_where_stems_or_cases_are_alike():
    assert file_names(["a.jpg", "A.png", "a/b.jpg", "b.jpg"], flat=True) == [
        "a.jpg",
        "A-2.png",
        "a__b.jpg",
        "b.jpg",
    ]
    assert file_names(["s/a.jpg", "s/a.png"], flat=False) == ["s/a.jpg", "s/a-2.png"]
    long = file_names(["ü" * 200 + ".jpg"], flat=True)[0]
    assert len(long.encode()) < 200


def test_an_archive_with_a_member_that_leads_elsewhere_is_refused(data, tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../annotations.xml", "<annotations/>")
    done = runner.invoke(cli.app, ["labels", "import", str(tmp_path / "bad.zip"), "--format", "cvat"])
    assert done.exit_code == 2 and "path leads outside the data set" in done.stderr
    assert not data.ws.inbox.exists() or not list(data.ws.inbox.iterdir())


def test_a_batch_has_the_name_of_its_folder_and_never_takes_the_place_of_the_inbox(
    data, tmp_path, monkeypatch
):
    formats.export_labels("yolo-pose", everything()[:2], tmp_path / "shop.v2")
    monkeypatch.chdir(tmp_path / "shop.v2")
    run("import", ".", "--format", "yolo-pose")
    (tmp_path / "shop.v2").rename(tmp_path / ".hidden")
    run("import", tmp_path / ".hidden", "--format", "yolo-pose")
    assert sorted(p.name for p in data.ws.inbox.iterdir()) == ["hidden", "shop"]


def test_neither_the_current_folder_nor_a_mark_of_somebody_is_replaced(data, tmp_path, monkeypatch):
    formats.export_labels("yolo-pose", everything()[:2], tmp_path / "export")
    (tmp_path / "here").mkdir()
    (tmp_path / "new.ready").write_text("mine")
    monkeypatch.chdir(tmp_path / "here")
    for out, said in ((".", "here: is the current folder"), ("../new", "new.ready: exists")):
        words = ["labels", "import", str(tmp_path / "export"), "--format", "yolo-pose", "--out", out]
        done = runner.invoke(cli.app, [*words, "--ready"])
        assert done.exit_code == 2 and said in done.stderr.replace("\n", "")
    assert Path.cwd().is_dir() and (tmp_path / "new.ready").read_text() == "mine"
    assert not (tmp_path / "new").exists()


def test_photos_get_names_that_every_format_can_hold(tmp_path):
    odd = ["a\x01b.jpg", "a\udcffb.jpg", "two\nlines.jpg", "\u202fnarrow.jpg"]
    names = file_names(odd, flat=False)
    assert names == ["a_b.jpg", "a_b-2.jpg", "two_lines.jpg", "\u202fnarrow.jpg"]
    found = [replace(everything()[0], name=name) for name in odd]
    for form in formats.FORMATS:
        formats.export_labels(form, found, tmp_path / form)
        again = list(checked(formats.FORMATS[form].read(Export(tmp_path / form))))
        assert len(again) == 4 and all(len(photo.labels.items) == 1 for photo in again)
