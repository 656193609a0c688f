"""Every kind of JPEG, whole, reduced, turned and damaged, has the pixels of OpenCV's own order."""

import io
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

from fashion_ops.catalog.reader import decode_rgb
from fashion_ops.methods.centernet.deploy.photo import decode_reduced

NOISE = np.random.default_rng(0).integers(0, 255, (61, 83, 3), np.uint8)
SCENE = Image.fromarray(cv2.GaussianBlur(NOISE, (0, 0), 3))
REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 8: cv2.IMREAD_REDUCED_COLOR_8}


def jpeg(image=SCENE, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def turned_by_exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(exif=exif)


def overwritten(seed):
    data, rng = bytearray(jpeg(quality=85)), np.random.default_rng(seed)
    at = int(rng.integers(650, len(data) - 50))
    data[at : at + 6] = rng.integers(0, 255, 6, np.uint8).tobytes()
    return bytes(data)


KINDS = {
    "4:4:4": jpeg(subsampling=0),
    "4:2:2": jpeg(subsampling=1),
    "4:2:0": jpeg(subsampling=2, quality=50),
    "progressive": jpeg(progressive=True),
    "gray": jpeg(SCENE.convert("L")),
    "progressive gray": jpeg(SCENE.convert("L"), progressive=True),
    "cmyk": jpeg(SCENE.convert("CMYK")),
    "stored as RGB": jpeg(keep_rgb=True),
    "restart markers": jpeg(restart_marker_blocks=2),
    "bytes behind the end": jpeg() + b"trailer",
    **{f"orientation {k}": turned_by_exif(k) for k in range(1, 9)},
    **{f"overwritten {k}": overwritten(k) for k in range(6)},
}


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_is_decoded_to_the_same_pixels(kind, upright):
    for shrink, flags in REDUCED.items():
        flags |= 0 if upright else cv2.IMREAD_IGNORE_ORIENTATION
        expected = cv2.imdecode(np.frombuffer(KINDS[kind], np.uint8), flags)
        with warnings.catch_warnings(action="ignore"):
            pixels = decode_rgb(KINDS[kind], "a.jpg", upright=upright, shrink=shrink)
        np.testing.assert_array_equal(pixels, expected[..., ::-1])
        assert pixels.flags.c_contiguous and pixels.flags.writeable


@pytest.mark.parametrize("kind", [k for k in KINDS if not k.startswith("overwritten")])
def test_a_reduced_photo_has_the_same_pixels(kind):
    expected = cv2.imdecode(np.frombuffer(KINDS[kind], np.uint8), cv2.IMREAD_REDUCED_COLOR_2)
    np.testing.assert_array_equal(decode_reduced(KINDS[kind], "a.jpg", 40).pixels, expected[..., ::-1])


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", jpeg()[:400], jpeg()[: len(jpeg()) // 2]])
def test_what_is_no_whole_jpeg_is_refused_by_name(data):
    with pytest.raises(ValueError, match=r"^a\.jpg: not an image that can be decoded"):
        decode_rgb(data, "a.jpg")
