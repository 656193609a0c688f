"""Flat-lay photos with known centimetres and cameras: a real sheet and a garment's true landmarks.

The sheet lies anywhere beside the garment, turned. Its markers are rendered, blurred, with noise, and
have to be detected. The camera is up to 25 degrees off the vertical. Cloth of another thickness each
time (2 mm, deviation 1) lifts the landmarks, which the camera projects, not a homography. The printer
changes the size of the sheet by some tenths of a percent (deviation 0.1 %).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from fashion_ops.measurement.scale import Lens
from fashion_ops.measurement.sheet import FORMATS, Paper, draw_sheet
from fashion_ops.taxonomy import CATEGORIES

WIDTH, HEIGHT_PX = 2400, 1800
SHAPE = {  # half-width and height of the area of landmarks, cm
    "shorts": (28, 50), "skirt": (28, 60), "trousers": (26, 105), "sling": (24, 60)
}  # fmt: skip


@dataclass(frozen=True)
class FlatLay:
    """A photo (h, w, 3), the true landmarks in pixels and in cm, and the camera."""

    photo: np.ndarray
    category: str
    pixels: np.ndarray
    cm: np.ndarray
    lens: Lens


def flat_lay(seed: int, distortion: tuple[float, ...] = ()) -> FlatLay:
    """Take the photo with this number."""
    rng = np.random.default_rng(seed)
    kind = CATEGORIES[seed % len(CATEGORIES)]
    half, tall = SHAPE.get(kind.name, (35, 80))
    cm = np.column_stack(
        [rng.uniform(-half, half, kind.num_landmarks), rng.uniform(0, tall, kind.num_landmarks)]
    )
    cm[:, 1] -= tall / 2
    focal = WIDTH * rng.uniform(0.7, 0.9)
    matrix = np.array([[focal, 0, WIDTH / 2], [0, focal, HEIGHT_PX / 2], [0, 0, 1]])
    lens = Lens(matrix, np.array(distortion or (0, 0, 0, 0, 0), float))
    tilt, towards, roll = np.radians(rng.uniform(0, 25)), *rng.uniform(-np.pi, np.pi, 2)
    axis = np.array([np.cos(towards), np.sin(towards), 0]) * tilt
    turn = cv2.Rodrigues(axis)[0] @ cv2.Rodrigues(np.array([0, 0, roll]))[0]
    paper: Paper = ("A4", "Letter")[seed % 2]
    form = FORMATS[paper]
    height, printed = max(rng.normal(2, 1), 0.0), rng.normal(1, 0.001)
    spin, side = rng.uniform(-np.pi, np.pi), rng.choice([-1, 1])
    middle = np.array([side * (half * 10 + 185), rng.uniform(-tall * 5, tall * 5)])
    cos, sin = np.cos(spin), np.sin(spin)
    mm = np.array([[0, 0], [form.width, 0], [form.width, form.height], [0, form.height]])
    corners = printed * (mm - mm.mean(0)) @ np.array([[cos, sin], [-sin, cos]]) + middle
    everything = np.concatenate([cm * 10, corners])
    centre = everything.mean(0)

    def project(points: np.ndarray, height: float, distance: float) -> np.ndarray:
        solid = np.column_stack([points - centre, np.full(len(points), -height)])
        shift = np.array([0.0, 0.0, distance])
        shown = cv2.projectPoints(solid, cv2.Rodrigues(turn)[0], shift, matrix, lens.distortion)[0]
        return shown.reshape(-1, 2)

    distance = next(
        d
        for d in np.arange(800.0, 6000, 50)
        if ((p := project(everything, 0, d)) > 30).all() and (p < (WIDTH - 30, HEIGHT_PX - 30)).all()
    )
    page = draw_sheet(paper)
    photo = np.full((HEIGHT_PX, WIDTH), 140, np.uint8)
    grid = np.array([0, 0, page.shape[1], 0, page.shape[1], page.shape[0], 0, page.shape[0]], float)
    to_photo = cv2.getPerspectiveTransform(
        (grid.reshape(4, 2) - 0.5).astype(np.float32), project(corners, 0, distance).astype(np.float32)
    )
    small = cv2.GaussianBlur(page, (0, 0), 2.0)
    cv2.warpPerspective(small, to_photo, (WIDTH, HEIGHT_PX), photo, borderMode=cv2.BORDER_TRANSPARENT)
    noisy = cv2.GaussianBlur(photo, (0, 0), 0.7) + rng.normal(0, 3, photo.shape)
    rgb = np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, 2)
    return FlatLay(rgb, kind.name, project(cm * 10, height, distance), cm, lens)
