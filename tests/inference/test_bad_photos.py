"""Photos of any size, mode, aspect and orientation: everything at its right place, or an error."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from typer.testing import CliRunner

import fashion_ops.commands.models
import fashion_ops.inference.predictor
import fashion_ops.methods.centernet.deploy.photo
from fashion_ops.catalog.images import probe_bytes
from fashion_ops.catalog.reader import decode_rgb
from fashion_ops.cli import app
from fashion_ops.inference.edge import EdgePredictor
from fashion_ops.inference.landmark_pipeline import ScoredLandmarks
from fashion_ops.inference.predictor import Predictor, decode_photo, load_photo
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.params import PostProcess
from fashion_ops.reports.draw import DrawnGarment, draw_garments
from fashion_ops.taxonomy import category, load_grouping

torch.set_num_threads(1)
WIDTH, HEIGHT, BOX = 240, 160, (150, 30, 209, 69)  # the red rectangle: first and last column and row
SKIRT, GROUPING = 9, "semantic62"


def scene() -> Image.Image:
    pixels = np.full((HEIGHT, WIDTH, 3), 235, np.uint8)
    pixels[BOX[1] : BOX[3] + 1, BOX[0] : BOX[2] + 1] = (220, 20, 20)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def red_box(pixels: np.ndarray) -> tuple[int, int, int, int]:
    red = (pixels[..., 0] > 150) & (pixels[..., 1:] < 110).all(-1)
    ys, xs = np.nonzero(red)
    return int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())


def dark_box(pixels: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(pixels[..., 1] < 128)
    return int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())


def with_alpha(image: Image.Image) -> Image.Image:
    """The left third transparent, with black stored under it."""
    pixels = np.dstack([np.asarray(image), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    pixels[:, : WIDTH // 3] = 0
    return Image.fromarray(pixels, "RGBA")


def sixteen_bit(image: Image.Image) -> bytes:
    gray = np.asarray(image.convert("L")).astype(np.uint16) * 257
    return encoded(Image.fromarray(gray))


MODES = {
    "PNG": lambda p: encoded(p),
    "PNG with alpha": lambda p: encoded(with_alpha(p)),
    "PNG palette": lambda p: encoded(p.quantize(8)),
    "PNG palette, one colour transparent": lambda p: encoded(p.quantize(8), transparency=7),
    "PNG gray": lambda p: encoded(p.convert("L")),
    "PNG gray with alpha": lambda p: encoded(with_alpha(p).convert("LA")),
    "PNG black and white": lambda p: encoded(p.convert("1", dither=Image.Dither.NONE)),
    "PNG gray, 16 bit": sixteen_bit,
    "JPEG": lambda p: encoded(p, "JPEG", quality=95),
    "JPEG gray": lambda p: encoded(p.convert("L"), "JPEG", quality=95),
    "JPEG CMYK": lambda p: encoded(p.convert("CMYK"), "JPEG", quality=95),
    "JPEG progressive": lambda p: encoded(p, "JPEG", quality=95, progressive=True),
    "WebP": lambda p: encoded(p, "WEBP", quality=95),
    "WebP with alpha": lambda p: encoded(with_alpha(p), "WEBP", lossless=True),
    "WebP with alpha, lossy": lambda p: encoded(with_alpha(p), "WEBP", quality=95),
    "GIF": lambda p: encoded(p.quantize(8), "GIF"),
    "BMP": lambda p: encoded(p, "BMP"),
    "TIFF CMYK": lambda p: encoded(p.convert("CMYK"), "TIFF"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("read", ["photo", "catalog"])
def test_every_mode_shows_the_same_scene(tmp_path, mode, read):
    data = MODES[mode](scene())
    path = tmp_path / "photo"
    path.write_bytes(data)
    pixels = load_photo(path).pixels if read == "photo" else decode_rgb(data, "it")
    assert probe_bytes(data) == (WIDTH, HEIGHT)  # ingest takes it too
    assert pixels.dtype == np.uint8 and pixels.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(dark_box(pixels), BOX, atol=1)
    assert pixels[5, 5].min() > 200, "what is transparent isn't the black stored there"
    if "gray" not in mode and "black" not in mode:
        np.testing.assert_allclose(red_box(pixels), BOX, atol=1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("alpha", [False, True])
def test_photos_are_upright_and_catalogs_as_stored(tmp_path, kind, orientation, alpha):
    if alpha and kind == "JPEG":
        pytest.skip("JPEG has no alpha")
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(with_alpha(scene()) if alpha else scene(), kind, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    photo = decode_photo(data, "it")
    assert photo.shape == upright.shape
    np.testing.assert_allclose(red_box(photo), red_box(upright), atol=1)
    np.testing.assert_allclose(red_box(decode_rgb(data, "it")), BOX, atol=1)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty file"),
        (b"no image at all", "cannot be decoded"),
        (b"\xff\xd8\xff\xe0" + bytes(200), "cannot be decoded|truncated"),
        (encoded(scene(), "JPEG")[:-40], "truncated"),
        (encoded(scene())[:-40], "truncated|cannot be decoded"),
        (encoded(scene(), "WEBP")[:-40], "truncated|cannot be decoded"),
    ],
)
def test_what_is_no_whole_image_is_refused_by_name(tmp_path, data, what):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"holiday.jpg: .*({what})"):
        load_photo(path)
    with pytest.raises(ValueError, match=r"lost\.jpg: cannot be read"):
        load_photo(tmp_path / "lost.jpg")


class RedFinder:
    """Stands in for a network: one skirt, exactly where the fitted image is red.

    Its landmarks go along the diagonal of the rectangle, from its first to its last pixel.
    """

    def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        grouping, side = load_grouping(GROUPING), images.shape[-1] // 4
        channels = torch.from_numpy(grouping.channels(SKIRT))
        sizes = {"hm": 13, "wh": 2, "hps": 2 * grouping.num_groups, "reg": 2, "hp_offset": 2}
        sizes["hm_hp"] = grouping.num_groups
        maps = {name: torch.zeros(len(images), n, side, side) for name, n in sizes.items()}
        for n, image in enumerate(images.float()):
            weight = ((image[0] - image[1]) / 200).clamp(0, 1)
            if weight.sum() < 1e-3:
                continue
            spans = []
            for axis in (0, 1):  # edges by area: blurred ones count in part
                line = weight.amax(axis)
                peak = (line > 0.5 * line.max()).nonzero()[:, 0]
                middle = float((line * torch.arange(len(line))).sum() / line.sum())
                extent = float(line.sum() / line[peak].mean())
                spans.append(((middle + 0.5 - extent / 2) / 4, (middle + 0.5 + extent / 2) / 4))
            (x1, x2), (y1, y2) = spans
            x, y = int((x1 + x2) / 2), int((y1 + y2) / 2)
            maps["hm"][n, SKIRT - 1, y, x] = 0.9
            maps["wh"][n, :, y, x] = torch.tensor([x2 - x1, y2 - y1])
            maps["reg"][n, :, y, x] = torch.tensor([(x1 + x2) / 2 - x, (y1 + y2) / 2 - y])
            along = torch.linspace(0, 1, len(channels))
            maps["hps"][n, 2 * channels, y, x] = x1 + along * (x2 - x1) - x
            maps["hps"][n, 2 * channels + 1, y, x] = y1 + along * (y2 - y1) - y
        return maps


def red_finder(post: PostProcess) -> Detector:
    spec = {"backbone": "tiny", "grouping": GROUPING, "input_size": 256, "score_threshold": 0.1}
    return Detector(RedFinder(), spec, post)


PLAIN = PostProcess(smooth=False, mask=False, blend=False, rescore=False, flip=False)
SIZES = {  # width, height and the rectangle, first and last column and row
    "as usual": (240, 160, (150, 30, 209, 69)),
    "tall": (90, 700, (20, 500, 69, 639)),
    "small": (12, 9, (3, 2, 8, 6)),
    "one pixel": (1, 1, (0, 0, 0, 0)),
    "a strip": (2000, 40, (600, 0, 1399, 39)),
    "large": (4200, 3100, (300, 1200, 2699, 2999)),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("post", [PLAIN, PLAIN.model_copy(update={"scales": (0.85, 1.1)})])
def test_garments_land_in_the_photo_whatever_its_size(size, post):
    width, height, box = SIZES[size]
    photo = np.full((height, width, 3), 235, np.uint8)
    photo[box[1] : box[3] + 1, box[0] : box[2] + 1] = (220, 20, 20)
    (detections,) = red_finder(post).detect([photo])
    assert detections and {d.category_id for d in detections} == {SKIRT}
    pixel = max(width, height) / 256  # one of the network's input
    edges = np.add(box, [-0.5, -0.5, 0.5, 0.5])
    for d in detections:
        near = np.maximum(1.0 * pixel, 0.7)
        inside = np.clip(d.box, 0, [width - 1, height - 1] * 2)
        np.testing.assert_allclose(d.box, inside)
        np.testing.assert_allclose(d.box, edges, atol=near + 0.5)
        assert len(d.landmarks) == category(SKIRT).num_landmarks
        ends = d.landmarks[[0, -1], :2].ravel()
        np.testing.assert_allclose(ends, edges, atol=near + 0.5)


@pytest.mark.parametrize("size", [(1, 2000), (2000, 1), (5000, 3), (3, 70_000), (1, 1), (2, 3)])
def test_a_photo_too_thin_to_see_anything_is_still_one(size):
    """Even if the network insists on a garment: its box lies in the photo, its numbers are numbers."""
    photo = np.full((size[1], size[0], 3), 235, np.uint8)
    red = torch.zeros(1, 3, 256, 256)
    red[:, 0] = 255
    everywhere = RedFinder()(red)
    detector = red_finder(PostProcess())
    assert detector.detect([photo]) == [[]]
    (detections,) = replace(detector, network=lambda _: everywhere).detect([photo])
    assert detections
    for d in detections:
        assert np.isfinite(d.landmarks).all()
        assert (d.box >= 0).all() and (d.box <= [size[0] - 1, size[1] - 1] * 2).all()
    drawn = [DrawnGarment(d.category_id, d.box, d.landmarks, d.score) for d in detections]
    assert draw_garments(photo, drawn).shape[2] == 3


def test_a_batch_of_everything_is_each_alone():
    photos = []
    for width, height, box in SIZES.values():
        photo = np.full((height, width, 3), 235, np.uint8)
        photo[box[1] : box[3] + 1, box[0] : box[2] + 1] = (220, 20, 20)
        photos.append(photo)
    photos.append(np.full((50, 60, 3), 235, np.uint8))  # nothing on it
    detector = red_finder(PostProcess())
    together = detector.detect(photos)
    assert together[-1] == []
    for photo, detections in zip(photos, together, strict=True):
        single = detector.detect([photo])[0]
        assert [d.score for d in single] == pytest.approx([d.score for d in detections])
        for a, b in zip(single, detections, strict=True):
            np.testing.assert_allclose(a.box, b.box, atol=1e-3)
            np.testing.assert_allclose(a.landmarks, b.landmarks, atol=1e-3)


class Echo:
    """Stands in for the landmark models: three points of each box."""

    variants = ("refined",)

    def predict(self, read_image, image_ids, boxes, category_ids, variants) -> dict:
        read_image(0)
        poses = []
        for (x1, y1, x2, y2), c in zip(boxes, category_ids, strict=True):
            along = np.linspace(0, 1, category(int(c)).num_landmarks)[:, None]
            xy = np.array([x1, y1]) + along * np.array([x2 - x1, y2 - y1])
            poses.append(np.column_stack([xy, np.ones(len(xy))]))
        return dict.fromkeys(
            variants, ScoredLandmarks(poses, np.ones(len(poses)), [np.zeros(0)] * len(poses))
        )


@pytest.fixture(params=["bundle", "detector"])
def predict(tmp_path, monkeypatch, request):
    """``fashion-ops predict`` with the stand-ins; returns exit code, output and the folder."""
    detector = red_finder(PostProcess())
    predictor = (
        Predictor(detector, Echo())  # type: ignore[arg-type]
        if request.param == "bundle"
        else EdgePredictor(detector)
    )
    monkeypatch.setattr(fashion_ops.commands.models, "load_predictor", lambda *_: predictor)

    def run(*options: str, **photos: bytes):
        paths = []
        for name, data in photos.items():
            paths.append(tmp_path / f"{name}.photo")
            paths[-1].write_bytes(data)
        out = tmp_path / "out"
        done = CliRunner().invoke(app, ["predict", *map(str, paths), "--out", str(out), *options])
        return done.exit_code, done.output, out

    return run


def garments(out: Path, name: str) -> list:
    return json.loads((out / f"{name}.json").read_text())["garments"]


def test_a_photo_without_garments_gives_an_empty_list_and_an_image(predict):
    blank = Image.new("RGB", (300, 200), (235, 235, 235))
    code, printed, out = predict(blank=encoded(blank))
    assert code == 0 and "no garment" in printed
    assert garments(out, "blank") == []
    with Image.open(out / "blank.png") as drawn:
        assert drawn.width >= 300 and drawn.height >= 200


def test_predict_takes_turned_and_gray_photos_and_names_the_broken_one(predict):
    exif = Image.Exif()
    exif[0x0112] = 6
    code, printed, out = predict(
        turned=encoded(scene(), "JPEG", exif=exif, quality=95),
        cut=encoded(scene(), "JPEG")[:-40],
        gray=encoded(scene().convert("LA")),
        dot=encoded(Image.new("RGB", (1, 1))),
    )
    assert code == 1 and "cut.photo" in printed
    assert garments(out, "gray") == garments(out, "dot") == []
    (skirt,) = garments(out, "turned")
    x1, y1, x2, y2 = BOX  # orientation 6: x, y of the upright photo is HEIGHT - 1 - y, x as stored
    expected = (HEIGHT - 1 - y2 - 0.5, x1 - 0.5, HEIGHT - 1 - y1 + 0.5, x2 + 0.5)
    np.testing.assert_allclose(skirt["box"], expected, atol=1.5)
    assert sorted(p.name for p in out.iterdir()) == sorted(
        f"{name}.{kind}" for name in ("turned", "gray", "dot") for kind in ("json", "png")
    )


def test_predict_says_what_lies_below_the_score(predict):
    code, printed, out = predict("--min-score", "1", red=encoded(scene()))
    assert code == 0 and garments(out, "red") == []
    told = re.search(
        r"no garment from score 1\.00 on; the best, skirt, has (\S+) \(--min-score (\S+) shows", printed
    )
    assert told is not None and float(told[2]) <= float(told[1]) < 1
    code, printed, out = predict("--min-score", told[2], red=encoded(scene()))
    assert {g["category"] for g in garments(out, "red")} == {"skirt"} and "no garment" not in printed


def test_predict_decodes_each_photo_once(predict, monkeypatch):
    decoded = []
    for module in (fashion_ops.inference.predictor, fashion_ops.methods.centernet.deploy.photo):
        monkeypatch.setattr(
            module,
            "decode_rgb",
            lambda data, name, **k: decoded.append(Path(name).stem) or decode_rgb(data, name, **k),
        )
    assert predict(one=encoded(scene()), two=encoded(scene(), "JPEG"))[0] == 0
    assert decoded == ["one", "two"]
