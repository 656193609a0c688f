"""Photos of more pixels than fit into memory, damaged ones and odd names, among others in a batch."""

import json
import os
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image
from test_bad_photos import BOX, Echo, encoded, red_finder, scene
from typer.testing import CliRunner

import fashion_ops.commands.models
from fashion_ops.catalog.reader import decode_rgb
from fashion_ops.cli import app
from fashion_ops.inference.edge import EdgePredictor
from fashion_ops.inference.predictor import Predictor, load_photo
from fashion_ops.methods.centernet.deploy import photo as photos
from fashion_ops.methods.centernet.deploy.photo import decode_reduced
from fashion_ops.params import PostProcess

JPEG = encoded(scene(), "JPEG", quality=95)
PROGRESSIVE = encoded(scene(), "JPEG", quality=95, progressive=True)
TRAILER = b"SEFH" + bytes(64)  # what some cameras write behind the end


@pytest.fixture
def small_limit(monkeypatch):
    """A limit of a tenth of the scene's pixels, so that it takes a factor of 4."""
    monkeypatch.setattr(photos, "MAX_PIXELS", scene().width * scene().height // 10)


@pytest.fixture(params=["bundle", "detector"])
def predictor(request):
    detector = red_finder(PostProcess())
    if request.param == "bundle":
        return Predictor(detector, Echo())  # type: ignore[arg-type]
    return EdgePredictor(detector)


@pytest.fixture
def predict(predictor, tmp_path, monkeypatch):
    """``fashion-ops predict`` of files below ``tmp_path``."""
    monkeypatch.setattr(fashion_ops.commands.models, "load_predictor", lambda *_: predictor)

    def run(*names: str):
        paths = [str(tmp_path / name) for name in names]
        return CliRunner().invoke(
            app, ["predict", *paths, "--out", str(tmp_path / "out"), "--model", "models"]
        )

    return run


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("data", [JPEG, JPEG + TRAILER], ids=["plain", "with a trailer"])
def test_a_large_jpeg_is_decoded_reduced_and_its_garments_are_in_its_pixels(
    predictor, small_limit, tmp_path, orientation, data
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    if orientation > 1:
        data = encoded(scene(), "JPEG", quality=95, exif=exif) + data[len(JPEG) :]
    whole = decode_rgb(data, "it", upright=True)
    photo = decode_reduced(data, "it")
    assert photo.factor == 4 and photo.size == (whole.shape[1], whole.shape[0])
    (garment,) = predictor.predict(photo)
    (expected,) = predictor.predict(whole)
    np.testing.assert_allclose(garment.box, expected.box, atol=3)
    for name, (x, y, _) in expected.landmarks.items():
        np.testing.assert_allclose(garment.landmarks[name][:2], (x, y), atol=4)


def test_a_photo_of_72_megapixels_is_drawn_at_half_its_size(predict, tmp_path):
    width, height = 9000, 8000
    pixels = np.full((height, width), 235, np.uint8)
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 50])[1].tobytes()
    (tmp_path / "large.jpg").write_bytes(data)
    photo = load_photo(tmp_path / "large.jpg")
    assert photo.size == (width, height) and photo.factor == 2
    assert photo.pixels.shape == (height // 2, width // 2, 3)


def test_small_photos_are_decoded_as_before():
    for data in (JPEG, PROGRESSIVE, encoded(scene())):
        photo = decode_reduced(data, "it")
        assert photo.factor == 1
        np.testing.assert_array_equal(photo.pixels, decode_rgb(data, "it", upright=True))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (JPEG[:-400], "image truncated: .*copy it again"),
        (PROGRESSIVE, ".*limit of a progressive JPEG .*save it as JPEG, which may be larger"),
        (JPEG[: JPEG.index(b"\xff\xda") + 20], "image truncated"),
    ],
    ids=["cut off", "progressive", "only its head"],
)
def test_large_jpegs_that_cannot_be_read_say_why(small_limit, data, message):
    with pytest.raises(ValueError, match=f"holiday.jpg: {message}"):
        decode_reduced(data, "holiday.jpg")


def test_other_formats_say_their_limit(monkeypatch):
    monkeypatch.setattr("fashion_ops.catalog.images.MAX_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"p\.png: .*240x160 pixels, limit 1000; save it as JPEG"):
        decode_reduced(encoded(scene()), "p.png")


def damaged() -> bytes:
    """A JPEG whose middle is overwritten; libjpeg reads over it."""
    noise = np.random.default_rng(0).integers(0, 255, (160, 240, 3), np.uint8)
    data = bytearray(encoded(Image.fromarray(noise), "JPEG", quality=90))
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff\xd0" * 20
    return bytes(data)


@pytest.mark.parametrize("read", ["whole", "reduced"])
def test_damage_that_the_decoder_reads_over_is_told_with_the_files_name(capfd, read):
    with pytest.warns(UserWarning, match=r"holiday\.jpg: Corrupt JPEG data.*copy it again"):
        if read == "whole":
            decode_rgb(damaged(), "holiday.jpg")
        else:
            decode_reduced(damaged(), "holiday.jpg", side=32)
    assert capfd.readouterr().err == ""
    with warnings.catch_warnings(action="error"):
        decode_rgb(JPEG, "valid.jpg")


def test_what_others_print_meanwhile_is_not_lost(capfd, monkeypatch):
    def decode(*_):
        os.write(2, b"another thread\n")

    monkeypatch.setattr(cv2, "imdecode", decode)
    with pytest.raises(ValueError, match="not an image"):
        decode_rgb(JPEG, "it")
    assert capfd.readouterr().err == "another thread\n"


def test_one_photos_failure_never_stops_the_others(predict, tmp_path):
    latin1 = os.fsdecode(b"caf\xe9.jpg")
    files = {
        "a.jpg": JPEG,
        "text.jpg": b"no photo",
        latin1: JPEG,
        "n" * 251 + ".jpg": JPEG,
        "moving.gif": encoded(scene().quantize(8), "GIF", save_all=True, append_images=[scene()]),
        "deep.png": encoded(Image.fromarray(np.full((16, 16), 60_000, np.uint16))),
        "print.jpg": encoded(scene().convert("CMYK"), "JPEG"),
        "z.jpg": JPEG,
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.jpg").mkdir()
    done = predict(*files, "folder.jpg", "nowhere.jpg")
    assert done.exit_code == 1 and "Traceback" not in done.stderr
    *failures, last = done.stderr.strip().splitlines()
    assert "photos failed" in last and "the others are done" in last
    for name in ("text.jpg", "folder.jpg", "nowhere.jpg"):
        assert any(name in line for line in failures), (name, failures)
    for stem in ("a", "moving", "deep", "print", "z", os.fsdecode(b"caf\xe9")):
        result = json.loads((tmp_path / "out" / f"{stem}.json").read_text())
        assert (tmp_path / "out" / f"{stem}.png").stat().st_size > 0
        assert result["photo"].startswith(stem if stem.isascii() else "caf")
    (skirt,) = json.loads((tmp_path / "out" / "z.json").read_text())["garments"]
    np.testing.assert_allclose(skirt["box"], np.add(BOX, [-0.5, -0.5, 0.5, 0.5]), atol=1.5)


def test_photos_that_all_work_say_nothing_on_stderr(predict, tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    done = predict("a.jpg")
    assert done.exit_code == 0 and done.stderr == ""
