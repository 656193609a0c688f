"""The printed sheet: four ArUco markers at known places on A4 or Letter paper.

The markers of the two papers have different numbers, so that a photo tells which paper it shows. The
markers' places are whole pixels of the page as it is printed, so that they are exact in millimetres.
"""

import io
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from fashion_ops.measurement.scale import Reference

Paper = Literal["A4", "Letter"]
MARK = "fashion-ops sheet"
_DPI = 300
_DICTIONARY = cv2.aruco.DICT_4X4_50
_MARGIN, _SIDE = 12.0, 45.0  # of the page and of a marker, mm
_RULER = 100.0  # mm


@dataclass(frozen=True)
class _Format:
    """A paper: size in mm, and the number of its first marker."""

    width: float
    height: float
    first: int


FORMATS: dict[Paper, _Format] = {"A4": _Format(210, 297, 0), "Letter": _Format(215.9, 279.4, 4)}


def _pixels(mm: float) -> int:
    """Pixels of the printed page, rounded to whole ones."""
    return round(mm * _DPI / 25.4)


def _places(paper: Paper) -> dict[int, tuple[int, int]]:
    """Left upper corner of each marker, in pixels of the page."""
    form = FORMATS[paper]
    near, side = _pixels(_MARGIN), _pixels(_SIDE)
    right, low = _pixels(form.width) - near - side, _pixels(form.height) - near - side
    places = ((near, near), (right, near), (right, low), (near, low))
    return {form.first + number: place for number, place in enumerate(places)}


def marker_corners(paper: Paper) -> dict[int, Float[np.ndarray, "4 2"]]:
    """Corners of each marker by its number, clockwise from the upper left, in mm on the page."""
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float) * _pixels(_SIDE)
    return {n: (square + place) * (25.4 / _DPI) for n, place in _places(paper).items()}


def draw_sheet(paper: Paper) -> UInt8[np.ndarray, "h w"]:
    """The page in grey, 300 pixels an inch, with a line of 100 mm that shows how it was printed."""
    form = FORMATS[paper]
    page = np.full((_pixels(form.height), _pixels(form.width)), 255, np.uint8)
    dictionary = cv2.aruco.getPredefinedDictionary(_DICTIONARY)
    side = _pixels(_SIDE)
    for number, (x, y) in _places(paper).items():
        page[y : y + side, x : x + side] = cv2.aruco.generateImageMarker(dictionary, number, side)
    image = Image.fromarray(page)
    draw = ImageDraw.Draw(image)
    middle, centre, half = page.shape[0] // 2, page.shape[1] // 2, _pixels(_RULER) // 2
    draw.line([(centre - half, middle), (centre + half, middle)], fill=0, width=5)
    for x in (centre - half, centre + half):
        draw.line([(x, middle - 30), (x, middle + 30)], fill=0, width=5)
    font = ImageFont.load_default(44)
    texts = (
        (-130, f"{MARK}, {paper}: print at 100 %, not fitted to the page"),
        (60, "This line must measure 100 mm. Lay the sheet flat beside the garment."),
    )
    for offset, text in texts:
        draw.text((centre, middle + offset), text, fill=0, font=font, anchor="ma")
    return np.asarray(image)


def sheet_pdf(paper: Paper) -> bytes:
    """The sheet as a PDF of one page in the paper's size."""
    file = io.BytesIO()
    page = Image.fromarray(draw_sheet(paper)).convert("1")
    page.save(file, "PDF", resolution=_DPI, title=f"{MARK} {paper}")
    return file.getvalue() + f"%{MARK}\n".encode()


def find_sheet(image: UInt8[np.ndarray, "h w 3"]) -> Reference | None:
    """The sheet in an RGB photo; None where no marker of one is seen.

    A marker whose number is seen twice is left out: it may be a picture of a sheet. One marker is
    enough, more make the scale more exact.
    """
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(_DICTIONARY), parameters)
    corners, numbers, _ = detector.detectMarkers(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    if numbers is None:
        return None
    ids = numbers.ravel().tolist()
    seen = {n: c.reshape(4, 2) for n, c in zip(ids, corners, strict=True) if ids.count(n) == 1}
    best: Reference | None = None
    for paper in FORMATS:
        known = marker_corners(paper)
        shared = sorted(known.keys() & seen.keys())
        if shared and (best is None or 4 * len(shared) > len(best.pixels)):
            pixels = np.concatenate([seen[n] for n in shared]).astype(float)
            hull = cv2.convexHull(pixels.astype(np.float32))[:, 0].astype(float)
            mm = np.concatenate([known[n] for n in shared])
            best = Reference(f"{paper} sheet with markers", pixels, mm, outline=hull)
    return best
