"""Draw sizes on a photo: dimension lines on the garments, each with a leader to its label.

Labels stand in a column at each side of the photo, where nothing can cover them, in the order of their
lines from top to bottom. A strip below says what gave the scale, and which sizes are not exact enough
to be drawn. Sizes in pixels are marked as such in a colour of warning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fashion_ops.measurement.sizes import Size
from fashion_ops.reports.draw import scaled

_INK, _PAPER, _WARNING = (22, 24, 29), (246, 246, 243), (190, 60, 20)
_REFERENCE = (60, 220, 90)
_COLORS = (
    *((94, 201, 255), (255, 150, 40), (120, 224, 143), (255, 140, 160), (196, 160, 255)),
    *((255, 217, 90), (110, 220, 210), (255, 160, 222), (180, 214, 100), (240, 150, 110)),
)
_LEAST_SIDE, _LARGEST_SIDE = 900, 1600  # of the drawn photo, pixels
_SHIFT = 4  # OpenCV draws at 1/16 pixel


@dataclass(frozen=True)
class DrawnSizes:
    """A garment to draw: ``title``, its box (4,) and its sizes, whose lines are pixels of the image."""

    title: str
    box: np.ndarray
    sizes: Sequence[Size]


class _Label(NamedTuple):
    """A label: text, colour, and the point (2,) of its line that the leader ends at."""

    text: str
    color: tuple[int, int, int]
    anchor: np.ndarray


def draw_sizes(
    image_rgb: np.ndarray, garments: Sequence[DrawnSizes], caption: str, outline: np.ndarray, note: str
) -> np.ndarray:
    """Draw the shown sizes of garments.

    Args:
        image_rgb: (H, W, 3) uint8.
        garments: what to draw.
        caption: what gave the scale.
        outline: (v, 2) of the reference, pixels; empty for none.
        note: a warning in place of the caption; empty for none.

    Returns:
        RGB uint8: the photo with a column of labels at each side and a strip below.
    """
    height, width = image_rgb.shape[:2]
    zoom = min(max(1.0, _LEAST_SIDE / max(height, width)), _LARGEST_SIDE / max(height, width))
    kind = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    canvas = cv2.resize(image_rgb, (round(width * zoom), round(height * zoom)), interpolation=kind)
    unit = (canvas.shape[0] * canvas.shape[1]) ** 0.5 / 900
    if len(outline):
        _polyline(canvas, scaled(outline, zoom), _REFERENCE, unit, closed=True)
    left: list[_Label] = []
    right: list[_Label] = []
    number = 0
    for index, garment in enumerate(garments):
        middle = float(scaled(np.reshape(garment.box, (2, 2)), zoom)[:, 0].mean())
        for size in [s for s in garment.sizes if s.shown]:
            line, color = scaled(size.line, zoom), _COLORS[number % len(_COLORS)]
            number += 1
            _dimension_line(canvas, line, color, unit)
            ends = _anchors(line)
            side = left if _is_left(line, middle, len(left) <= len(right)) else right
            text = f"{size.name.replace('_', ' ')}  {_amount(size)}"
            if len(garments) > 1:
                text = f"{index + 1}  {text}"
            side.append(_Label(text, color, ends[0] if side is left else ends[1]))
    columns = [_column(labels, canvas.shape[0], unit) for labels in (left, right)]
    page = _page(canvas, columns, (left, right), garments, zoom, unit)
    return np.vstack([page, _strip(page.shape[1], garments, caption, note, unit)])


def _amount(size: Size) -> str:
    """The value and half of its interval."""
    digits = 1 if size.unit == "cm" else 0
    return f"{size.value:.{digits}f} ± {size.reach:.{digits}f} {size.unit}"


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(points * 2**_SHIFT), -(1 << 20), 1 << 20).astype(np.int32)


def _polyline(
    canvas: np.ndarray,
    points: np.ndarray,
    color: tuple[int, int, int],
    unit: float,
    *,
    closed: bool = False,
    thin: bool = False,
) -> None:
    """Draw a line with a dark rim."""
    for width, paint in ((1.4 if thin else 3.2, _INK), (0.7 if thin else 1.5, color)):
        thickness = max(1 if paint is color else 2, round(width * unit))
        cv2.polylines(canvas, [_fixed(points)[:, None]], closed, paint, thickness, cv2.LINE_AA, _SHIFT)


def _dimension_line(
    canvas: np.ndarray, line: np.ndarray, color: tuple[int, int, int], unit: float
) -> None:
    """Draw a line with a tick across each end."""
    _polyline(canvas, line, color, unit)
    for end, before in ((line[0], line[1]), (line[-1], line[-2])):
        along = (end - before) / max(float(np.linalg.norm(end - before)), 1e-6)
        tick = np.array([-along[1], along[0]]) * 7 * unit
        _polyline(canvas, np.stack([end - tick, end + tick]), color, unit)


def _along(line: np.ndarray, share: float) -> np.ndarray:
    """The point of a line at a share of its length."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(steps)])
    return np.array([np.interp(share * at[-1], at, line[:, k]) for k in range(2)])


def _anchors(line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where leaders from the left and from the right end: near the line's ends if it runs across."""
    span = np.ptp(line, axis=0)
    if span[0] < span[1]:
        return _along(line, 0.64), _along(line, 0.64)
    one, other = _along(line, 0.12), _along(line, 0.88)
    return (one, other) if one[0] <= other[0] else (other, one)


def _is_left(line: np.ndarray, middle: float, balance: bool) -> bool:
    """Whether the label of a line goes to the left column."""
    low, high = line[:, 0].min(), line[:, 0].max()
    if low < middle < high:
        return balance
    return bool((low + high) / 2 <= middle)


def _column(labels: list[_Label], height: int, unit: float) -> list[float]:
    """Sorts labels by the height of their anchors; returns the heights of their middles."""
    labels.sort(key=lambda label: label.anchor[1])
    step = 30 * unit
    places: list[float] = []
    for label in labels:
        places.append(max(float(label.anchor[1]), step * 0.8, places[-1] + step if places else 0.0))
    limit = height - step * 0.8
    for n in reversed(range(len(places))):
        places[n] = min(places[n], limit)
        limit = places[n] - step
    return places


def _page(
    canvas: np.ndarray,
    columns: list[list[float]],
    labels: tuple[list[_Label], list[_Label]],
    garments: Sequence[DrawnSizes],
    zoom: float,
    unit: float,
) -> np.ndarray:
    """The photo between its columns, with leaders, labels and titles."""
    font, pad = ImageFont.load_default(17 * unit), 10 * unit
    widths = [
        round(max((font.getlength(label.text) for label in side), default=0) + 4 * pad) if side else 0
        for side in labels
    ]
    height, photo = canvas.shape[0], canvas.shape[1]
    top = min((places[0] - 15 * unit for places in columns if places), default=0.0)
    above = max(0, round(-top))  # more labels than fit beside the photo
    page = np.full((above + height, widths[0] + photo + widths[1], 3), _PAPER, np.uint8)
    page[above:, widths[0] : widths[0] + photo] = canvas
    offset = np.array([widths[0], above])
    for side, places, x in zip(
        labels, columns, (widths[0] - pad, widths[0] + photo + pad), strict=True
    ):
        for label, y in zip(side, places, strict=True):
            ends = np.stack([np.array([x, y + above]), label.anchor + offset])
            _polyline(page, ends, label.color, unit, thin=True)
            center, radius = tuple(_fixed(ends[1]).tolist()), round(3.5 * unit * 2**_SHIFT)
            cv2.circle(page, center, radius, label.color, -1, cv2.LINE_AA, _SHIFT)
    image = Image.fromarray(page)
    draw = ImageDraw.Draw(image)
    for side, places, is_left in zip(labels, columns, (True, False), strict=True):
        for label, y in zip(side, places, strict=True):
            width = font.getlength(label.text) + 2 * pad
            x = widths[0] - pad - width if is_left else widths[0] + photo + pad
            box = (x, y + above - 13 * unit, x + width, y + above + 13 * unit)
            draw.rounded_rectangle(box, 5 * unit, fill=_INK, outline=label.color, width=round(2 * unit))
            draw.text((x + pad, y + above), label.text, fill=_PAPER, font=font, anchor="lm")
    for number, garment in enumerate(garments, 1):
        text = f"{number}  {garment.title}" if len(garments) > 1 else garment.title
        x, y = scaled(np.reshape(garment.box, (2, 2)), zoom)[0] + offset
        width = font.getlength(text) + 2 * pad
        x = float(np.clip(x, widths[0], max(widths[0], widths[0] + photo - width)))
        y = float(np.clip(y - 44 * unit, above, above + height - 26 * unit))
        draw.rounded_rectangle((x, y, x + width, y + 26 * unit), 5 * unit, fill=_PAPER)
        draw.text((x + pad, y + 13 * unit), text, fill=_INK, font=font, anchor="lm")
    return np.array(image)


def _strip(
    width: int, garments: Sequence[DrawnSizes], caption: str, note: str, unit: float
) -> np.ndarray:
    """What gave the scale, and the sizes that are not drawn."""
    font, pad, step = ImageFont.load_default(16 * unit), 14 * unit, 24 * unit
    lines = [note or caption]
    for number, garment in enumerate(garments, 1):
        left_out = [_left_out(size) for size in garment.sizes if not size.shown]
        if left_out:
            lead = f"{number}  not exact enough: " if len(garments) > 1 else "not exact enough: "
            lines += _wrapped(lead + ", ".join(left_out), font, width - 2 * pad)
    if not garments:
        lines.append("no garment found")
    strip = Image.new("RGB", (width, round(len(lines) * step + pad)), _WARNING if note else _INK)
    draw = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        draw.text((pad, pad / 2 + (number + 0.5) * step), line, fill=_PAPER, font=font, anchor="lm")
    return np.array(strip)


def _left_out(size: Size) -> str:
    name = size.name.replace("_", " ")
    return f"{name} (occluded)" if size.occluded else f"{name} {_amount(size)}"


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    """The text in lines of at most this width."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
