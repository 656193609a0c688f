"""Flat-lay photos with known centimetres and cameras: a real reference and a garment's true landmarks.

The reference (the sheet with markers, a bare sheet or a card) lies anywhere beside the garment, turned.
It is rendered, blurred, with noise, and has to be detected, among patches of other colours. The camera
is up to 25 degrees off the vertical. Cloth of another thickness each time (2 mm, deviation 1) lifts the
landmarks, which the camera projects, not a homography. The size of the reference is some tenths of a
percent off (deviation 0.1 %).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from fashion_ops.measurement.flat_things import CARD
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


def page_of(thing: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """A thing seen from above: RGB (h, w, 3), its mask (h, w), and its size in mm."""
    if thing in ("A4", "Letter"):
        form = FORMATS[thing]
        shape = round(form.height * 8), round(form.width * 8)
        white = np.full((*shape, 3), rng.uniform(215, 250), np.float32) * rng.uniform(0.96, 1, 3)
        light = np.linspace(1, rng.uniform(0.92, 1), shape[1])[None, :, None]
        return (white * light).astype(np.uint8), np.full(shape, 255, np.uint8), (form.width, form.height)
    if thing == "card":
        shape, radius = (round(CARD[1] * 12), round(CARD[0] * 12)), round(3.18 * 12)
        page = np.full((*shape, 3), rng.uniform(20, 230, 3), np.float32).astype(np.uint8)
        cv2.rectangle(page, (80, 200), (230, 310), (210, 190, 90), -1)
        cv2.putText(page, "4000 1234 5678 9010", (80, 430), 0, 2, (245, 245, 245), 6)
        mask = np.zeros(shape, np.uint8)
        cv2.rectangle(mask, (radius, 0), (shape[1] - radius, shape[0]), 255, -1)
        cv2.rectangle(mask, (0, radius), (shape[1], shape[0] - radius), 255, -1)
        for x in (radius, shape[1] - 1 - radius):
            for y in (radius, shape[0] - 1 - radius):
                cv2.circle(mask, (x, y), radius, 255, -1)
        return page, mask, CARD
    paper: Paper = "A4" if thing == "A4 sheet" else "Letter"
    page = draw_sheet(paper)
    size = FORMATS[paper].width, FORMATS[paper].height
    return np.repeat(page[..., None], 3, 2), np.full(page.shape, 255, np.uint8), size


def table(rng: np.random.Generator) -> np.ndarray:
    """A surface with grain and some patches of other colours, RGB (h, w, 3)."""
    photo = np.full((HEIGHT_PX, WIDTH, 3), rng.uniform(70, 170, 3), np.float32)
    grain = rng.normal(0, 6, (HEIGHT_PX // 20, WIDTH // 20)).astype(np.float32)
    photo += cv2.resize(grain, (WIDTH, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)[..., None]
    for _ in range(4):
        corners = rng.uniform(0, 1, 2) * (WIDTH, HEIGHT_PX) + rng.uniform(-300, 300, (6, 2))
        shape = cv2.convexHull(corners.astype(np.int32))
        cv2.fillConvexPoly(photo, shape, tuple(float(v) for v in rng.uniform(30, 190, 3)), cv2.LINE_AA)
    return photo


def flat_lay(seed: int, distortion: tuple[float, ...] = (), thing: str = "") -> FlatLay:
    """Take the photo with this number, of the sheet with markers or another thing."""
    rng = np.random.default_rng(seed)
    thing = thing or ("A4 sheet", "Letter sheet")[seed % 2]
    page, mask, (wide, high) = page_of(thing, np.random.default_rng([seed, 1]))
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
    height, printed = max(rng.normal(2, 1), 0.0), rng.normal(1, 0.001)
    spin, side = rng.uniform(-np.pi, np.pi), rng.choice([-1, 1])
    middle = np.array([side * (half * 10 + 185), rng.uniform(-tall * 5, tall * 5)])
    cos, sin = np.cos(spin), np.sin(spin)
    mm = np.array([[0, 0], [wide, 0], [wide, high], [0, high]])
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
    photo = table(np.random.default_rng([seed, 2]))
    grid = np.array([0, 0, page.shape[1], 0, page.shape[1], page.shape[0], 0, page.shape[0]], float)
    to_photo = cv2.getPerspectiveTransform(
        (grid.reshape(4, 2) - 0.5).astype(np.float32), project(corners, 0, distance).astype(np.float32)
    )
    zoom = page.shape[1] / np.linalg.norm(project(corners, 0, distance)[1] - project(corners, 0, distance)[0])
    sheet = cv2.GaussianBlur(page, (0, 0), 0.4 * zoom)
    sheet = cv2.warpPerspective(sheet, to_photo, (WIDTH, HEIGHT_PX), borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpPerspective(
        cv2.GaussianBlur(mask, (0, 0), 0.4 * zoom, borderType=cv2.BORDER_CONSTANT),
        to_photo,
        (WIDTH, HEIGHT_PX),
    )
    share = share[..., None].astype(float) / 255
    noisy = cv2.GaussianBlur(photo * (1 - share) + sheet * share, (0, 0), 0.7)
    noisy = noisy + rng.normal(0, 3, photo.shape)
    rgb = np.clip(noisy, 0, 255).astype(np.uint8)
    return FlatLay(rgb, kind.name, project(cm * 10, height, distance), cm, lens)
