"""Flat-lay photos with known centimetres and cameras, for the tests and measurements of sizes.

A reference (the sheet with markers, a bare sheet or a card) lies anywhere beside the garment, turned.
It is rendered, blurred, with noise, and has to be detected. The camera is up to 25 degrees off the
vertical. Cloth of another thickness each time (2 mm, deviation 1) lifts the landmarks, which the camera
projects, not a homography. The size of the reference is some tenths of a percent off (deviation 0.1 %).

``flat_lay`` has landmarks without a garment, among patches of colours: for references and intervals.
``wardrobe_flat_lay`` shows a garment of the synthetic wardrobe, in which models find the landmarks.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from fashion_ops.measurement.flat_things import CARD
from fashion_ops.measurement.scale import Lens
from fashion_ops.measurement.sheet import FORMATS, Paper, draw_sheet
from fashion_ops.synthetic.wardrobe.canvas import Frame
from fashion_ops.synthetic.wardrobe.labels import to_image
from fashion_ops.synthetic.wardrobe.plan import Shot
from fashion_ops.synthetic.wardrobe.render import photograph
from fashion_ops.taxonomy import CATEGORIES

WIDTH, HEIGHT = 2400, 1800  # of ``flat_lay``, pixels
THINGS = ("A4 sheet", "Letter sheet", "A4", "Letter", "card")
HEAD_CM = 170 / 7  # the wardrobe's figures are seven heads tall
_SHAPE = {  # half-width and height of the area of landmarks, cm
    "shorts": (28, 50), "skirt": (28, 60), "trousers": (26, 105), "sling": (24, 60)
}  # fmt: skip
_PLANE, _ROOM = 1100, 2.0  # side of a drawn garment's surface: pixels, and over the garment's span


@dataclass(frozen=True)
class FlatLay:
    """A photo RGB (h, w, 3), the true landmarks in pixels and in cm, and the camera."""

    photo: np.ndarray
    category: str
    pixels: np.ndarray
    cm: np.ndarray
    lens: Lens


@dataclass(frozen=True)
class _Camera:
    """A camera over a plane whose point ``centre`` (mm) is in the middle of the photo."""

    lens: Lens
    turn: np.ndarray
    centre: np.ndarray
    size: tuple[int, int]
    distance: float = 0.0

    @classmethod
    def drawn(
        cls,
        rng: np.random.Generator,
        size: tuple[int, int],
        points: np.ndarray,
        roll: float,
        distortion: tuple[float, ...] = (),
    ) -> "_Camera":
        """A camera up to 25 degrees off the vertical, so near that all points (mm) are just in view."""
        focal = max(size) * rng.uniform(0.7, 0.9)
        matrix = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])
        lens = Lens(matrix, np.array(distortion or (0, 0, 0, 0, 0), float))
        tilt, towards = np.radians(rng.uniform(0, 25)), rng.uniform(-np.pi, np.pi)
        axis = np.array([np.cos(towards), np.sin(towards), 0]) * tilt
        turn = cv2.Rodrigues(axis)[0] @ cv2.Rodrigues(np.array([0, 0, roll]))[0]
        cameras = (cls(lens, turn, points.mean(0), size, d) for d in np.arange(300.0, 8000, 25))
        return next(camera for camera in cameras if camera._sees(points))

    def _sees(self, points: np.ndarray) -> bool:
        shown = self.project(points, 0)
        return bool((shown > 30).all() and (shown < np.array(self.size) - 30).all())

    def project(self, points: np.ndarray, height: float) -> np.ndarray:
        """Pixels of points of the plane (n, 2), mm, that lie ``height`` mm above it."""
        solid = np.column_stack([points - self.centre, np.full(len(points), -height)])
        shift = np.array([0.0, 0.0, self.distance])
        turn = cv2.Rodrigues(self.turn)[0]
        lens = self.lens
        return cv2.projectPoints(solid, turn, shift, lens.matrix, lens.distortion)[0].reshape(-1, 2)


@dataclass(frozen=True)
class _Thing:
    """A reference seen from above: RGB page, its mask, its corners (4, 2) on the plane, mm."""

    page: np.ndarray
    mask: np.ndarray
    corners: np.ndarray

    @classmethod
    def placed(cls, name: str, rng: np.random.Generator, middle: np.ndarray) -> "_Thing":
        """A thing around a point, turned, and printed or cut not quite to size."""
        page, mask, size = _page(name, rng)
        spin, printed = rng.uniform(-np.pi, np.pi), rng.normal(1, 0.001)
        cos, sin = np.cos(spin), np.sin(spin)
        corners = (np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) - 0.5) * size * printed
        return cls(page, mask, corners @ np.array([[cos, sin], [-sin, cos]]) + middle)

    def laid(self, photo: np.ndarray, camera: _Camera) -> np.ndarray:
        """The photo with the thing in it."""
        height, width = self.page.shape[:2]
        grid = np.array([(0, 0), (width, 0), (width, height), (0, height)]) - 0.5
        seen = camera.project(self.corners, 0)
        matrix = cv2.getPerspectiveTransform(grid.astype(np.float32), seen.astype(np.float32))
        soft = 0.4 * width / float(np.linalg.norm(seen[1] - seen[0]))
        page = cv2.warpPerspective(
            cv2.GaussianBlur(self.page, (0, 0), soft),
            matrix,
            camera.size,
            borderMode=cv2.BORDER_REPLICATE,
        )
        mask = cv2.GaussianBlur(self.mask, (0, 0), soft, borderType=cv2.BORDER_CONSTANT)
        share = cv2.warpPerspective(mask, matrix, camera.size)[..., None] / 255
        return photo * (1 - share) + page * share


def _page(name: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Page and mask of a thing, and its size in mm."""
    if name == "card":
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
    paper: Paper = "A4" if name.startswith("A4") else "Letter"
    size = FORMATS[paper].width, FORMATS[paper].height
    if name.endswith("sheet"):
        page = np.repeat(draw_sheet(paper)[..., None], 3, 2)
    else:
        shape = round(size[1] * 8), round(size[0] * 8)
        light = np.linspace(1, rng.uniform(0.92, 1), shape[1])[None, :, None]
        white = rng.uniform(215, 250) * rng.uniform(0.96, 1, 3) * light
        page = np.broadcast_to(white, (*shape, 3)).astype(np.uint8)
    return page, np.full(page.shape[:2], 255, np.uint8), size


def _developed(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur and noise of a camera."""
    noisy = cv2.GaussianBlur(photo, (0, 0), 0.7) + rng.normal(0, 3, photo.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _table(rng: np.random.Generator) -> np.ndarray:
    """A surface with grain and some patches of other colours, RGB (h, w, 3)."""
    photo = np.full((HEIGHT, WIDTH, 3), rng.uniform(70, 170, 3), np.float32)
    grain = rng.normal(0, 6, (HEIGHT // 20, WIDTH // 20)).astype(np.float32)
    photo += cv2.resize(grain, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)[..., None]
    for _ in range(4):
        corners = rng.uniform(0, 1, 2) * (WIDTH, HEIGHT) + rng.uniform(-300, 300, (6, 2))
        shape = cv2.convexHull(corners.astype(np.int32))
        cv2.fillConvexPoly(photo, shape, tuple(map(float, rng.uniform(30, 190, 3))), cv2.LINE_AA)
    return photo


def flat_lay(seed: int, distortion: tuple[float, ...] = (), thing: str = "") -> FlatLay:
    """Take the photo with this number of landmarks and a thing; without a name, of a sheet."""
    rng = np.random.default_rng(seed)
    kind = CATEGORIES[seed % len(CATEGORIES)]
    half, tall = _SHAPE.get(kind.name, (35, 80))
    cm = rng.uniform((-half, -tall / 2), (half, tall / 2), (kind.num_landmarks, 2))
    middle = np.array([rng.choice([-1, 1]) * (half * 10 + 185), rng.uniform(-tall * 5, tall * 5)])
    placed = _Thing.placed(thing or THINGS[seed % 2], rng, middle)
    points = np.concatenate([cm * 10, placed.corners])
    camera = _Camera.drawn(rng, (WIDTH, HEIGHT), points, rng.uniform(-np.pi, np.pi), distortion)
    photo = _developed(placed.laid(_table(rng), camera), rng)
    height = max(rng.normal(2, 1), 0.0)
    return FlatLay(photo, kind.name, camera.project(cm * 10, height), cm, camera.lens)


def wardrobe_flat_lay(seed: int, thing: str = "A4 sheet") -> FlatLay:
    """Take the photo with this number of a garment of the wardrobe, 1400 pixels at its long side.

    Categories alternate. The garment lies with its neck or waist up, up to some 15 degrees turned.
    """
    rng = np.random.default_rng([seed, 3])
    kind = CATEGORIES[seed % len(CATEGORIES)]
    garment = (kind.id, (seed, 3, kind.id), 1)
    shot = Shot(
        "validation", seed, seed + 1, ("shop", "user")[seed // 13 % 2], True, (garment,), (seed, 4)
    )

    def framing(figure: object, garments: list, side: int) -> Frame:
        points = np.vstack([g.ordered()[0] for g in garments])
        low, high = points.min(0), points.max(0)
        scale = side / (float((high - low).max()) * _ROOM)
        return Frame.of(scale, 0.0, (low + high) / 2, side)

    drawn = photograph(shot, _PLANE, framing=framing)
    frame = drawn.canvas.frame
    heads = drawn.garments[0].ordered()[0]
    mm_per_pixel = 20 * HEAD_CM / frame.scale  # the canvas has twice the pixels
    on_plane = to_image(frame.apply(heads))
    origin = (_PLANE - 1) / 2
    mm = (on_plane - origin) * mm_per_pixel
    half = np.ptp(mm, axis=0) / 2
    middle = np.array(
        [rng.choice([-1, 1]) * (half[0] + rng.uniform(190, 230)), rng.uniform(-half[1], half[1]) * 0.8]
    )
    placed = _Thing.placed(thing, rng, middle + mm.mean(0))
    points = np.concatenate([mm, placed.corners])
    wide, tall = np.ptp(points, axis=0)
    shape = (1400, 1050) if wide > tall else (1050, 1400)
    camera = _Camera.drawn(rng, shape, points, rng.normal(0, 0.12))
    height = max(rng.normal(2, 1), 0.0)
    corners = np.array([(0, 0), (_PLANE - 1, 0), (_PLANE - 1, _PLANE - 1), (0, _PLANE - 1)], float)
    seen = camera.project((corners - origin) * mm_per_pixel, height)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), seen.astype(np.float32))
    surface = cv2.warpPerspective(
        cv2.cvtColor(drawn.pixels, cv2.COLOR_BGR2RGB), matrix, shape, borderMode=cv2.BORDER_REFLECT
    )
    photo = _developed(placed.laid(surface, camera), rng)
    cm = heads * HEAD_CM
    return FlatLay(photo, kind.name, camera.project(mm, height), cm, camera.lens)
