"""Painting in layers, at twice the size of the image, with a buffer of the topmost layer.

Every layer is a union of polygons with a key, such as ``(0, "shell")`` for the main cloth of garment
0. The buffer stores the topmost layer of each pixel; visibility of landmarks is computed from it.
Pixels are BGR uint8; pixel (0, 0) has its centre at (0, 0). Colours may be painted at half the
resolution of the layers, which costs a quarter: the layers' masks then say how much of a pixel's colour
changes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from fashion_ops.synthetic.wardrobe import brush
from fashion_ops.synthetic.wardrobe.fabric import (
    TILE_PER_HEAD,
    Color,
    Fabric,
    coarse_tile,
    fold_maps,
    tile,
    toned,
)
from fashion_ops.synthetic.wardrobe.garment import Mark, Part
from fashion_ops.synthetic.wardrobe.look import SEAM_TONES, Look
from fashion_ops.synthetic.wardrobe.textures import CREASES, crease_map

OVERSAMPLING = 2
_COARSE = 1.5  # pixels of a tile a pixel from which a tile of half the resolution is laid
Key = tuple[int, str]  # garment and part; garment -1 is no garment


@dataclass(frozen=True)
class Frame:
    """From heads to canvas pixels: an optional bend of the plane, then an affine matrix (2, 3).

    Polygons, marks and landmarks are bent point by point, so labels stay exact under perspective.
    """

    matrix: np.ndarray
    bend: Callable[[np.ndarray], np.ndarray] | None = None  # (k, 2) to (k, 2), both in heads

    @classmethod
    def of(cls, scale: float, roll: float, center: np.ndarray, canvas: int) -> "Frame":
        """A frame that puts a point into the middle of a canvas.

        Args:
            scale: canvas pixels to a head.
            roll: rotation in radians.
            center: the point (2,), heads.
            canvas: side of the canvas, pixels.
        """
        c, s = scale * np.cos(roll), scale * np.sin(roll)
        turn = np.array([[c, -s], [s, c]])
        return cls(np.hstack([turn, ((canvas - 1) / 2 - turn @ center)[:, None]]))

    @property
    def scale(self) -> float:
        """Canvas pixels to a head."""
        return float(np.hypot(*self.matrix[:, 0]))

    def apply(self, points: np.ndarray) -> np.ndarray:
        if self.bend is not None:
            points = self.bend(points)
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    def apply_all(self, polygons: Sequence[np.ndarray]) -> np.ndarray:
        """``apply`` on several polygons, one after the other in the result (k, 2)."""
        if self.bend is None:
            return np.concatenate([self.apply(polygon) for polygon in polygons])
        return self.apply(np.concatenate(polygons))  # costs the bend once

    def apply_each(self, lines: Sequence[np.ndarray]) -> list[np.ndarray]:
        """``apply`` on each of several arrays of points; a bend costs most by its number of calls."""
        if self.bend is None or len(lines) < 2:
            return [self.apply(line) for line in lines]
        points, start, out = self.apply_all(lines), 0, []
        for line in lines:
            out.append(points[start : start + len(line)])
            start += len(line)
        return out

    def zoomed_out(self, factor: int) -> "Frame":
        """The same onto pixels ``factor`` times as large; the corner of the canvas stays."""
        matrix = self.matrix / factor
        matrix[:, 2] += 0.5 / factor - 0.5
        return Frame(matrix, self.bend)

    def from_origin(self, origin: np.ndarray) -> "Frame":
        """The same onto a region of the canvas that starts at ``origin`` (2,)."""
        shift = (self.matrix[:, 2] - origin)[:, None]
        return Frame(np.hstack([self.matrix[:, :2], shift]), self.bend)


@dataclass(frozen=True)
class Layer:
    """Where a layer was painted: its mask (h, w), 0 or 255, at offset (x, y) of the canvas."""

    key: Key
    x: int
    y: int
    mask: np.ndarray


class Canvas:
    """The image while it is being painted."""

    def __init__(
        self,
        background: np.ndarray,
        frame: Frame,
        light: tuple[float, float],
        look: Look = Look(),  # noqa: B008 (frozen)
        zoom: int = 1,
    ) -> None:
        """Start a painting.

        Args:
            background: uint8 (H, W, 3), painted on in place.
            frame: from heads to pixels of the layers.
            light: direction (x, y) from which light comes.
            look: how strongly outlines, shading, folds and seams are drawn.
            zoom: sides of the layers over those of ``background``, 1 or ``OVERSAMPLING``.
        """
        self.pixels = background
        self.height, self.width = (side * zoom for side in background.shape[:2])
        self.frame = frame
        self.light = light
        self.look = look
        self.zoom = zoom
        self.top = np.zeros((self.height, self.width), np.uint8)  # index into layers, + 1
        self._drawn = frame if zoom == 1 else frame.zoomed_out(zoom)  # from heads to pixels
        self._scale = self._drawn.scale
        self._to_heads = np.linalg.inv(self._drawn.matrix[:, :2])
        self.layers: list[Layer] = []
        self._numbers: dict[Key, list[int]] = {}  # of the layers with a key, from 1

    def paint(
        self,
        polygons: Sequence[np.ndarray],
        color: Color,
        *,
        marks: Sequence[Mark] = (),
        volume: float = 0.3,
        shadow: float = 0.25,
        soft: float = 0.3,
    ) -> None:
        """Paint a layer of one colour that is no part of a garment.

        Args:
            polygons: in heads; their union is filled.
            color: BGR.
            marks: drawn on this layer only.
            volume: how much the rim darkens, which makes the layer look round; 0 is flat.
            shadow: how dark a shadow falls on what lies below; 0 is none.
            soft: width of that rim and shadow, heads.
        """

        def source(shade: np.ndarray, origin: np.ndarray) -> np.ndarray:
            out = brush.plain(color, shade)
            if marks:
                to_region = self._drawn.from_origin(origin).apply_each
                brush.draw_marks(out, marks, partial(toned, color), to_region, self._scale)
            return out

        self._paint(polygons, (-1, ""), source, volume, shadow, soft)

    def paint_part(self, part: Part, fabric: Fabric, garment: int) -> None:
        """Paint a part of a garment; an inner face is darker, flat and without a shadow."""
        volume, shadow = (0.0, 0.0) if part.inside else (0.3, 0.28)

        def source(shade: np.ndarray, origin: np.ndarray) -> np.ndarray:
            return self._cloth(fabric, part, shade, origin)

        self._paint(part.polygons, (garment, part.name), source, volume, shadow, 0.3)

    def _paint(
        self,
        polygons: Sequence[np.ndarray],
        key: Key,
        source: Callable[[np.ndarray, np.ndarray], np.ndarray],
        volume: float,
        shadow: float,
        soft: float,
    ) -> None:
        """Paint a layer; ``source`` maps shade (h, w) and origin (2,) of a region to its colours."""
        volume, shadow, zoom = volume * self.look.rim, shadow * self.look.shadow, self.zoom
        points = self.frame.apply_all(polygons)
        blur = max(3, int(soft * self.look.soft * self._scale) | 1)
        pad = blur * zoom if shadow or volume else 2
        x0, y0 = (max(math.floor(v) - pad, 0) // zoom * zoom for v in points.min(0).tolist())
        x1, y1 = (math.ceil(v) + pad + zoom for v in points.max(0).tolist())
        x1, y1 = min(x1, self.width) // zoom * zoom, min(y1, self.height) // zoom * zoom
        if x0 >= x1 or y0 >= y1:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        brush.fill(mask, points - (x0, y0), [len(polygon) for polygon in polygons])
        if not cv2.countNonZero(mask):
            return
        size = ((x1 - x0) // zoom, (y1 - y0) // zoom)
        covered = mask if zoom == 1 else cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
        region = self.pixels[y0 // zoom : y1 // zoom, x0 // zoom : x1 // zoom]
        if shadow:
            darkening = cv2.LUT(self._blurred(covered, blur, 1), brush.ramp(1, 1 - shadow))
            brush.shaded(region, darkening, region)
        rim = self._blurred(covered, blur, -1) if volume else covered
        shade = cv2.LUT(rim, brush.ramp(1 - volume, 1 + 0.12 * volume))
        colors = source(shade, np.array([x0 // zoom, y0 // zoom]))
        if zoom == 1:
            cv2.copyTo(colors, mask, region)
        else:
            brush.blend(colors, covered, region)
        self.layers.append(Layer(key, x0, y0, mask))
        self._numbers.setdefault(key, []).append(len(self.layers))
        # layers count upwards, so the topmost is the largest number
        top = self.top[y0:y1, x0:x1]
        number: Any = float(len(self.layers))  # a scalar, which cv2's annotations leave out
        cv2.max(top, cv2.min(mask, number), top)

    def _blurred(self, mask: np.ndarray, size: int, toward: int) -> np.ndarray:
        """A mask blurred and shifted away from the light (1) or towards it (-1)."""
        half = size // 2
        x, y = (int(min(max(half + toward * v * half * 0.6, 0), size - 1)) for v in self.light)
        return cv2.blur(mask, (size, size), anchor=(x, y))

    def _cloth(self, fabric: Fabric, part: Part, shade: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """A part's cloth with its marks and folds over a region, BGR."""
        grain = part.grain
        turn = np.array([[np.cos(grain), np.sin(grain)], [-np.sin(grain), np.cos(grain)]])
        linear = turn @ self._to_heads * TILE_PER_HEAD
        to_tile = np.hstack([linear, (linear @ (origin - self._drawn.matrix[:, 2]))[:, None]])
        strength = round(fabric.folds * 3)
        if self.look.creased:
            folds = crease_map(fabric.seed % CREASES, strength)
        else:
            maps = fold_maps(strength)
            folds = maps[fabric.seed % len(maps)]
        folds = brush.lay(folds, to_tile, shade.shape)
        weight = 0.8 * self.look.folds
        shade = cv2.addWeighted(shade, 0.62 if part.inside else 1, folds, weight, -weight * brush.UNIT)
        to_region, marks = self._drawn.from_origin(origin).apply_each, part.marks
        if self.look.seams is not None:
            self._shade_seams(shade, marks, to_region)
            marks = tuple(mark for mark in marks if mark.tone not in SEAM_TONES)
        if fabric.pattern == "plain" and not marks:
            return brush.plain(fabric.base, shade)
        if fabric.pattern == "plain":
            source = np.full((*shade.shape, 3), fabric.base, np.uint8)
        elif self.zoom > 1 and _COARSE * self._scale < TILE_PER_HEAD:
            source = brush.lay(coarse_tile(fabric), to_tile / 2, shade.shape)
        else:
            source = brush.lay(tile(fabric), to_tile, shade.shape)
        brush.draw_marks(source, marks, fabric.tone, to_region, self._scale)
        return brush.shaded(source, shade, source)

    def _shade_seams(self, shade: np.ndarray, marks: Sequence[Mark], to_region: brush.ToPixels) -> None:
        """Darken ``shade`` (h, w) along the seams, whatever the pattern below them, in place."""
        seams = [mark for mark in marks if mark.tone in SEAM_TONES]
        depth = round((self.look.seams or 0.0) * brush.UNIT)
        if seams and depth:
            dark = np.zeros_like(shade)
            tones = {tone: round(depth * factor) for tone, factor in SEAM_TONES.items()}
            to_color = {tone: (value, 0, 0) for tone, value in tones.items()}
            brush.draw_marks(dark, seams, to_color.__getitem__, to_region, self._scale)
            cv2.subtract(shade, dark, shade)

    def showing(self, garment: int) -> np.ndarray:
        """Where a garment is visible, at the image's resolution: bool."""
        matches = np.zeros(256, np.uint8)
        matches[1 : len(self.layers) + 1] = [layer.key[0] == garment for layer in self.layers]
        return cv2.LUT(np.ascontiguousarray(self.top[::OVERSAMPLING, ::OVERSAMPLING]), matches) > 0

    def painted(self, garment: int) -> np.ndarray:
        """Where a garment was painted, covered or not, at the image's resolution: uint8, 0 or 255."""
        out = np.zeros_like(self.top)
        for layer in self.layers:
            if layer.key[0] == garment:
                height, width = layer.mask.shape
                view = out[layer.y : layer.y + height, layer.x : layer.x + width]
                cv2.bitwise_or(view, layer.mask, view)
        return np.ascontiguousarray(out[::OVERSAMPLING, ::OVERSAMPLING])

    def is_visible(self, garment: int, parts: tuple[str, ...], point: np.ndarray) -> bool:
        """Whether at least half of these parts' cloth within two image pixels of a point is on top.

        A point without any cloth of these parts (the end of a strap thinner than a pixel) is not.

        Args:
            garment: number of the garment.
            parts: names of its parts.
            point: (2,), canvas pixels.
        """
        reach = 2 * OVERSAMPLING
        x, y = round(float(point[0])), round(float(point[1]))
        x0, y0 = max(x - reach, 0), max(y - reach, 0)
        x1, y1 = min(x + reach + 1, self.width), min(y + reach + 1, self.height)
        if x0 >= x1 or y0 >= y1:
            return False
        numbers = [n for part in set(parts) for n in self._numbers.get((garment, part), ())]
        if not numbers:
            return False
        top = self.top[y0:y1, x0:x1]
        cloth = np.zeros(top.shape, np.uint8)
        on_top = 0
        for number in numbers:
            layer = self.layers[number - 1]
            height, width = layer.mask.shape
            a0, a1 = max(x0, layer.x), min(x1, layer.x + width)
            b0, b1 = max(y0, layer.y), min(y1, layer.y + height)
            if a0 < a1 and b0 < b1:
                cloth[b0 - y0 : b1 - y0, a0 - x0 : a1 - x0] |= layer.mask[
                    b0 - layer.y : b1 - layer.y, a0 - layer.x : a1 - layer.x
                ]
                on_top += np.count_nonzero(top == number)
        count = cv2.countNonZero(cloth)
        return bool(count > 0 and on_top * 2 >= count)
