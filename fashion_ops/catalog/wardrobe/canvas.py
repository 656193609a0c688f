"""Painting in layers, at twice the size of the picture, with a buffer of what is on top.

Every layer is a union of polygons with a key, e.g. ``(0, "shell")`` for garment 0's main cloth. The
buffer keeps which layer each pixel shows, so "is this landmark covered" is read off the painting
and never guessed. Pixels are BGR uint8; pixel (0, 0) has its centre at (0, 0).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fashion_ops.catalog.wardrobe import fabric as cloth
from fashion_ops.catalog.wardrobe.fabric import Color, Fabric
from fashion_ops.catalog.wardrobe.garment import Mark, Part

OVERSAMPLING = 2
_SHIFT = 4  # fractional bits of coordinates handed to OpenCV
_UNIT = 200  # shade value that leaves a colour as it is
Key = tuple[int, str]


@dataclass(frozen=True)
class Frame:
    """Similarity transform from heads to canvas pixels."""

    matrix: np.ndarray  # (2, 3)

    @classmethod
    def of(cls, scale: float, roll: float, center: np.ndarray, canvas: int) -> "Frame":
        """``center`` (heads) goes to the middle of the canvas; ``roll`` in radians."""
        c, s = scale * np.cos(roll), scale * np.sin(roll)
        turn = np.array([[c, -s], [s, c]])
        return cls(np.hstack([turn, ((canvas - 1) / 2 - turn @ center)[:, None]]))

    @property
    def scale(self) -> float:
        """Canvas pixels to a head."""
        return float(np.hypot(*self.matrix[:, 0]))

    def apply(self, points: np.ndarray) -> np.ndarray:
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]


@dataclass(frozen=True)
class Layer:
    """Where a layer was painted: its mask within the canvas, at offset (x, y)."""

    key: Key
    x: int
    y: int
    mask: np.ndarray  # uint8 0 or 255


class Canvas:
    """The picture while it is being painted."""

    def __init__(self, background: np.ndarray, frame: Frame, light: tuple[float, float]) -> None:
        """``background`` (S, S, 3) uint8 is painted on; ``light`` is the direction it comes from."""
        self.pixels = background
        self.side = background.shape[0]
        self.frame = frame
        self.light = light
        self.top = np.zeros(background.shape[:2], np.uint8)  # index into layers, + 1
        self.layers: list[Layer] = []

    def paint(
        self,
        polygons: Sequence[np.ndarray],
        color: Color | Fabric,
        key: Key = (-1, ""),
        *,
        grain: float = 0.0,
        inside: bool = False,
        marks: Iterable[Mark] = (),
        volume: float = 0.3,
        shadow: float = 0.25,
        soft: float = 0.3,
    ) -> None:
        """Paint one layer.

        Args:
            polygons: in heads; filled as a union.
            color: a colour or a fabric.
            key: whose layer this is: (garment, part); garment -1 is no garment.
            grain: angle of the fabric's weave, radians.
            inside: paint the fabric's darker inner face.
            marks: drawn on this layer only.
            volume: how much the rim darkens, which makes it look round; 0 is flat.
            shadow: how dark a shadow it throws on what lies below; 0 is none.
            soft: size of that rim and shadow, heads.
        """
        shapes = [self.frame.apply(p) for p in polygons]
        scale = self.frame.scale
        blur = max(3, int(soft * scale) | 1)
        everything = np.vstack(shapes)
        pad = blur if shadow or volume else 2
        x0, y0 = np.maximum(np.floor(everything.min(0)).astype(int) - pad, 0)
        x1, y1 = np.minimum(np.ceil(everything.max(0)).astype(int) + pad + 1, self.side)
        if x0 >= x1 or y0 >= y1:
            return
        origin = np.array([x0, y0])
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        for shape in shapes:
            cv2.fillPoly(mask, [_fixed(shape - origin)], 255, cv2.LINE_8, _SHIFT)
        if not mask.any():
            return
        region = self.pixels[y0:y1, x0:x1]
        rim = None
        if shadow or volume:
            half = blur // 2
            anchor = (
                int(np.clip(half + self.light[0] * half * 0.6, 0, blur - 1)),
                int(np.clip(half + self.light[1] * half * 0.6, 0, blur - 1)),
            )
            rim = cv2.blur(mask, (blur, blur), anchor=(blur - 1 - anchor[0], blur - 1 - anchor[1]))
            if shadow:
                thrown = cv2.blur(mask, (blur, blur), anchor=anchor)
                dark = cv2.LUT(thrown, _ramp(_UNIT, _UNIT * (1 - shadow)))
                cv2.multiply(region, cv2.cvtColor(dark, cv2.COLOR_GRAY2BGR), region, 1 / _UNIT)
        source = self._cloth(color, grain, origin, mask.shape)
        self._draw(source, marks, color, origin)
        shade = None
        if rim is not None and volume:
            shade = cv2.LUT(rim, _ramp(_UNIT * (1 - volume), _UNIT * (1 + 0.12 * volume)))
        if isinstance(color, Fabric):
            folds = self._folds(color, grain, origin, mask.shape)
            shade = folds if shade is None else cv2.addWeighted(shade, 1, folds, 0.8, -0.8 * _UNIT)
        if inside:
            dim = np.full(mask.shape, int(_UNIT * 0.62), np.uint8)
            shade = dim if shade is None else cv2.multiply(shade, dim, scale=1 / _UNIT)
        if shade is not None:
            source = cv2.multiply(source, cv2.cvtColor(shade, cv2.COLOR_GRAY2BGR), scale=1 / _UNIT)
        cv2.copyTo(source, mask, region)
        self.layers.append(Layer(key, int(x0), int(y0), mask))
        number = np.full(mask.shape, len(self.layers), np.uint8)
        cv2.copyTo(number, mask, self.top[y0:y1, x0:x1])

    def paint_part(self, part: Part, fabric: Fabric, garment: int) -> None:
        """Paint a part of a garment."""
        self.paint(
            part.polygons,
            fabric,
            (garment, part.name),
            grain=part.grain,
            inside=part.inside,
            marks=part.marks,
            volume=0.0 if part.inside else 0.3,
            shadow=0.0 if part.inside else 0.3,
        )

    def _cloth(
        self, color: Color | Fabric, grain: float, origin: np.ndarray, shape: tuple[int, ...]
    ) -> np.ndarray:
        if not isinstance(color, Fabric):
            return np.full((*shape, 3), color, np.uint8)
        if color.pattern == "plain":
            return np.full((*shape, 3), color.base, np.uint8)
        return self._warp(cloth.tile(color), grain, origin, shape, 1.0)

    def _folds(self, fabric: Fabric, grain: float, origin: np.ndarray, shape: tuple) -> np.ndarray:
        maps = cloth.fold_maps(round(fabric.folds * 3))
        return self._warp(maps[fabric.seed % len(maps)], grain, origin, shape, 1.0)

    def _warp(
        self, source: np.ndarray, grain: float, origin: np.ndarray, shape: tuple, stretch: float
    ) -> np.ndarray:
        """A periodic tile laid out over a region of the canvas, turned by ``grain``."""
        turn = np.array([[np.cos(grain), np.sin(grain)], [-np.sin(grain), np.cos(grain)]])
        linear = turn @ np.linalg.inv(self.frame.matrix[:, :2]) * (cloth.TILE_PER_HEAD * stretch)
        offset = linear @ (origin - self.frame.matrix[:, 2])
        matrix = np.hstack([linear, offset[:, None]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(source, matrix, shape[::-1], flags=flags, borderMode=cv2.BORDER_WRAP)

    def _draw(
        self, target: np.ndarray, marks: Iterable[Mark], color: Color | Fabric, origin: np.ndarray
    ) -> None:
        for mark in marks:
            tone = color.tone(mark.tone) if isinstance(color, Fabric) else color
            points = _fixed(self.frame.apply(mark.points) - origin)
            width = max(1, round(mark.width * self.frame.scale))
            if mark.kind == "line":
                cv2.polylines(target, [points], False, tone, width, cv2.LINE_AA, _SHIFT)
            elif mark.kind == "fill":
                cv2.fillPoly(target, [points], tone, cv2.LINE_AA, _SHIFT)
            else:
                radius = max(1, round(mark.width * self.frame.scale)) << _SHIFT
                for x, y in points[:, 0]:
                    cv2.circle(target, (int(x), int(y)), radius, tone, -1, cv2.LINE_AA, _SHIFT)

    def showing(self, garment: int) -> np.ndarray:
        """Where a garment is on top: bool (S, S)."""
        own = [0, *(layer.key[0] == garment for layer in self.layers)]
        return np.array(own, bool)[self.top]

    def painted(self, garment: int) -> np.ndarray:
        """Where a garment was painted, covered or not: uint8 (S, S), 0 or 255."""
        out = np.zeros_like(self.top)
        for layer in self.layers:
            if layer.key[0] == garment:
                height, width = layer.mask.shape
                view = out[layer.y : layer.y + height, layer.x : layer.x + width]
                cv2.bitwise_or(view, layer.mask, view)
        return out

    def is_visible(self, garment: int, parts: tuple[str, ...], point: np.ndarray) -> bool:
        """Whether most of these parts' cloth within two picture pixels of a canvas point shows.

        A point where the parts have no cloth at all (a strap end thinner than a pixel) is covered.
        """
        reach = 2 * OVERSAMPLING
        x, y = np.round(point).astype(int)
        x0, y0 = max(x - reach, 0), max(y - reach, 0)
        x1, y1 = min(x + reach + 1, self.side), min(y + reach + 1, self.side)
        if x0 >= x1 or y0 >= y1:
            return False
        cloth_here = np.zeros((y1 - y0, x1 - x0), bool)
        top = self.top[y0:y1, x0:x1]
        shown = np.zeros_like(cloth_here)
        for number, layer in enumerate(self.layers, 1):
            if layer.key[0] != garment or layer.key[1] not in parts:
                continue
            height, width = layer.mask.shape
            a0, a1 = max(x0, layer.x), min(x1, layer.x + width)
            b0, b1 = max(y0, layer.y), min(y1, layer.y + height)
            if a0 < a1 and b0 < b1:
                piece = layer.mask[b0 - layer.y : b1 - layer.y, a0 - layer.x : a1 - layer.x]
                cloth_here[b0 - y0 : b1 - y0, a0 - x0 : a1 - x0] |= piece > 0
                shown |= top == number
        return bool(cloth_here.any() and shown.sum() * 2 >= cloth_here.sum())


def _fixed(points: np.ndarray) -> np.ndarray:
    """Points as the fixed-point integers that OpenCV wants, (k, 1, 2)."""
    limit = 1 << 24
    return np.clip(np.round(points * (1 << _SHIFT)), -limit, limit).astype(np.int32).reshape(-1, 1, 2)


def _ramp(low: float, high: float) -> np.ndarray:
    """A lookup table from mask coverage 0..255 to a shade between ``low`` and ``high``."""
    return np.clip(np.linspace(low, high, 256), 0, 255).astype(np.uint8)
