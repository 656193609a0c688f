"""Draw garments on a photo: box, category, score, skeleton, and landmarks coloured by side.

"Left" is the left of the numbering figure: the viewer's left on a garment seen from the front, the
viewer's right on one seen from behind. Marks scale with the image and the garment. Small images are
enlarged first, so that thirty landmarks stay apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from fashion_ops.taxonomy import category
from fashion_ops.taxonomy.alignment import points_of_type
from fashion_ops.workspace import write_whole

LEFT, RIGHT, CENTER = (45, 140, 255), (255, 138, 0), (255, 255, 255)
CONFIDENT = 0.2  # landmarks of a lower score are drawn hollow
_INK, _PAPER = (22, 24, 29), (246, 246, 243)
_MIN_SIDE, _MAX_SIDE = 640, 4096
_SHIFT = 4  # OpenCV draws at 1/16 pixel
_BOX_COLORS = (  # by category
    *("#5ec9ff", "#78e08f", "#ffbe5c", "#c4a0ff", "#ff8ca0", "#6edcd2", "#ffd95a"),
    *("#96b4ff", "#ffa0de", "#b4d664", "#f0966e", "#8cd6f0", "#d6bea0"),
)


@dataclass(frozen=True)
class DrawnGarment:
    """A garment to draw, in pixels of the image.

    Attributes:
        category_id: 1..13.
        box: (4,) x1, y1, x2, y2.
        landmarks: (n, 3) x, y, score; those with score 0 are not drawn.
        score: of the garment; None writes no score.
        clothes_type: where the landmarks are those of FLD's type 1 upper, 2 lower, 3 full; None where
            they are those of the category.
    """

    category_id: int
    box: np.ndarray
    landmarks: np.ndarray
    score: float | None = None
    clothes_type: int | None = None

    @property
    def skeleton(self) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
        """The names of the landmarks, and the pairs of them that lines join."""
        if self.clothes_type is not None:
            points = points_of_type(self.clothes_type)
            return points.point_names, points.links
        kind = category(int(self.category_id))
        return kind.landmark_names, kind.links


def encode_png(image_rgb: np.ndarray) -> bytes:
    """The bytes of a PNG of RGB uint8 (H, W, 3)."""
    done, data = cv2.imencode(".png", cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError(f"an image of shape {image_rgb.shape} cannot be encoded as PNG")
    return data.tobytes()


def write_png(path: Path, image_rgb: np.ndarray) -> None:
    """Write RGB uint8 (H, W, 3) as a PNG, as a whole or not at all.

    ``cv2.imwrite`` ends the process at a name that is not UTF-8, and says nothing if it cannot write.

    Raises:
        OSError: it cannot be written.
    """
    write_whole(path, encode_png(image_rgb))


def labelled_garment(category_id: int, box: np.ndarray, landmarks: np.ndarray) -> DrawnGarment:
    """Ground truth as a garment to draw: landmarks (n, 3) or (3n,); occluded ones are hollow."""
    points = np.reshape(landmarks, (-1, 3)).astype(float)
    points[:, 2] = np.choose(points[:, 2].astype(int), (0, CONFIDENT / 2, 1))
    return DrawnGarment(category_id, np.asarray(box, float), points)


def draw_garments(
    image_rgb: np.ndarray, garments: Sequence[DrawnGarment], *, legend: bool = True
) -> np.ndarray:
    """Draw garments on a copy of an image.

    Args:
        image_rgb: (H, W, 3) uint8.
        garments: what to draw, in pixels of ``image_rgb``.
        legend: add a strip below that explains the colours.

    Returns:
        RGB uint8, enlarged so that the shorter side has at least 640 pixels.
    """
    height, width = image_rgb.shape[:2]
    zoom = max(1.0, min(_MIN_SIDE / min(height, width), _MAX_SIDE / max(height, width)))
    size = (round(width * zoom), round(height * zoom))
    canvas = (
        cv2.resize(image_rgb, size, interpolation=cv2.INTER_CUBIC) if zoom > 1 else image_rgb.copy()
    )
    unit = (size[0] * size[1]) ** 0.5 / 640
    for garment in garments:
        _box(canvas, garment, zoom, unit)
    for garment in garments:
        _landmarks(canvas, garment, zoom, unit)
    image = Image.fromarray(canvas)
    _labels(image, garments, zoom, unit)
    canvas = np.array(image)
    if not legend:
        return canvas
    hollow = any(((g.landmarks[:, 2] > 0) & (g.landmarks[:, 2] < CONFIDENT)).any() for g in garments)
    return np.vstack((canvas, _legend(size[0], unit, hollow)))


def side_by_side(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Put two drawn images of one photo beside each other, each under its caption."""
    height, width = (max(a, b) for a, b in zip(truth.shape[:2], prediction.shape[:2], strict=True))
    unit = (height * width) ** 0.5 / 640
    top, gap = round(34 * unit), round(10 * unit)
    out = np.full((top + height, 2 * width + gap, 3), _PAPER, np.uint8)
    for number, image in enumerate((truth, prediction)):
        left = number * (width + gap)
        out[top : top + image.shape[0], left : left + image.shape[1]] = image
    page = Image.fromarray(out)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(17 * unit)
    for number, caption in enumerate(("labelled", "predicted")):
        at = (number * (width + gap) + 6 * unit, top / 2)
        draw.text(at, caption, fill=_INK, font=font, anchor="lm")
    return np.array(page)


def side_color(name: str) -> tuple[int, int, int]:
    """The colour of a landmark, by its name."""
    return LEFT if name.startswith("left_") else RIGHT if name.startswith("right_") else CENTER


def _fixed(point: np.ndarray) -> tuple[int, int]:
    x, y = np.clip(point, -8 * _MAX_SIDE, 8 * _MAX_SIDE)  # OpenCV overflows far outside
    return round(x * 2**_SHIFT), round(y * 2**_SHIFT)


def scaled(points: np.ndarray, zoom: float) -> np.ndarray:
    """Convert pixel centres of the photo to pixel centres of the enlarged image."""
    return (np.asarray(points, float) + 0.5) * zoom - 0.5


def _box(canvas: np.ndarray, garment: DrawnGarment, zoom: float, unit: float) -> None:
    x1y1, x2y2 = scaled(np.reshape(garment.box, (2, 2)), zoom)
    by_category = ImageColor.getrgb(_BOX_COLORS[garment.category_id - 1])
    for color, thickness in ((_INK, 3.2 * unit), (by_category, 1.6 * unit)):
        cv2.rectangle(
            canvas, _fixed(x1y1), _fixed(x2y2), color, max(1, round(thickness)), cv2.LINE_AA, _SHIFT
        )


def _landmarks(canvas: np.ndarray, garment: DrawnGarment, zoom: float, unit: float) -> None:
    names, links = garment.skeleton
    points = scaled(garment.landmarks[:, :2], zoom)
    scores = garment.landmarks[:, 2]
    box = np.asarray(garment.box, float) * zoom
    share = max(float((box[2] - box[0]) * (box[3] - box[1])), 0.0) ** 0.5 / (640 * unit)
    unit = unit * float(np.clip(1.6 * share, 0.62, 1))
    colors = [side_color(name) for name in names]
    for thickness, under in ((4.2, True), (2.0, False)):
        for a, b in links:
            if scores[a] > 0 and scores[b] > 0:
                color = _INK if under else colors[a] if colors[a] == colors[b] else CENTER
                ends = _fixed(points[a]), _fixed(points[b])
                cv2.line(canvas, *ends, color, max(1, round(thickness * unit)), cv2.LINE_AA, _SHIFT)
    for point, score, color in zip(points, scores, colors, strict=True):
        if score <= 0:
            continue
        _disc(canvas, point, 5.6 * unit, _INK)
        _disc(canvas, point, 4.4 * unit, color)
        if score < CONFIDENT:
            _disc(canvas, point, 2.6 * unit, _INK)


def _disc(canvas: np.ndarray, point: np.ndarray, radius: float, color: tuple[int, int, int]) -> None:
    cv2.circle(canvas, _fixed(point), round(radius * 2**_SHIFT), color, -1, cv2.LINE_AA, _SHIFT)


def _labels(image: Image.Image, garments: Sequence[DrawnGarment], zoom: float, unit: float) -> None:
    """Write category and score at the corner of each box, moved down where two labels would overlap."""
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(15 * unit)
    pad, height = 5 * unit, 22 * unit
    placed: list[tuple[float, float, float, float]] = []
    for garment in garments:
        text = category(int(garment.category_id)).label
        if garment.score is not None:
            text += f"  {garment.score:.2f}"
        width = draw.textlength(text, font=font) + 2 * pad
        x, y = scaled(np.asarray(garment.box)[:2], zoom)
        x = min(max(x, 0), max(image.width - width, 0))
        y = y - height if y >= height else max(y, 0)
        while any(x < c and a < x + width and y < d and b < y + height for a, b, c, d in placed):
            y += 1
        y = min(y, image.height - height)
        label = (x, y, x + width, y + height)
        placed.append(label)
        draw.rounded_rectangle(label, 4 * unit, fill=_BOX_COLORS[garment.category_id - 1])
        draw.text((x + pad, y + height / 2), text, fill=_INK, font=font, anchor="lm")


def _legend(width: int, unit: float, hollow: bool) -> np.ndarray:
    """A strip that explains the colours."""
    entries = [("left side", LEFT, False), ("right side", RIGHT, False), ("centre", CENTER, False)]
    if hollow:
        entries.append(("hidden or unsure", CENTER, True))
    strip = np.full((round(34 * unit), width, 3), _INK, np.uint8)
    font, middle = ImageFont.load_default(14 * unit), strip.shape[0] / 2
    places, x = [], 14 * unit
    for text, color, is_hollow in entries:
        point = np.array([x, middle - 0.5])
        _disc(strip, point, 5 * unit, color)
        if is_hollow:
            _disc(strip, point, 3 * unit, _INK)
        places.append((x + 11 * unit, text))
        x += font.getlength(text) + 34 * unit
    page = Image.fromarray(strip)
    draw = ImageDraw.Draw(page)
    for left, text in places:
        draw.text((left, middle), text, fill=_PAPER, font=font, anchor="lm")
    return np.array(page)
