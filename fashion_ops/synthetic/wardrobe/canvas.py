"""Painting in layers, at twice the size of the image, with a buffer of what is on top.

Every layer is a union of polygons with a key, e.g. ``(0, "shell")`` for garment 0's main cloth. The
buffer keeps which layer each pixel shows, so "is this landmark covered" is read off the painting
and never guessed. Pixels are BGR uint8; pixel (0, 0) has its centre at (0, 0).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fashion_ops.synthetic.wardrobe import brush
from fashion_ops.synthetic.wardrobe.fabric import TILE_PER_HEAD, Color, Fabric, fold_maps, tile
from fashion_ops.synthetic.wardrobe.garment import Mark, Part

OVERSAMPLING = 2
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
    """The image while it is being painted."""

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
        marks: Sequence[Mark] = (),
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
        blur = max(3, int(soft * self.frame.scale) | 1)
        pad = blur if shadow or volume else 2
        everything = np.vstack(shapes)
        x0, y0 = (int(v) for v in np.maximum(np.floor(everything.min(0)) - pad, 0))
        x1, y1 = (int(v) for v in np.minimum(np.ceil(everything.max(0)) + pad + 1, self.side))
        if x0 >= x1 or y0 >= y1:
            return
        origin = np.array([x0, y0])
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        for shape in shapes:
            brush.fill(mask, shape - origin, 255)
        if not mask.any():
            return
        region = self.pixels[y0:y1, x0:x1]
        if shadow:
            thrown = cv2.LUT(self._blurred(mask, blur, 1), brush.ramp(1, 1 - shadow))
            brush.shaded(region, thrown, region)
        rim = self._blurred(mask, blur, -1) if volume else mask
        shade = cv2.LUT(rim, brush.ramp(1 - volume, 1 + 0.12 * volume))
        if isinstance(color, Fabric):
            source = self._cloth(color, shade, grain, origin, marks, inside)
        else:
            source = brush.plain(color, shade)
            brush.draw_marks(source, marks, color, self._to_region(origin), self.frame.scale)
        cv2.copyTo(source, mask, region)
        self.layers.append(Layer(key, x0, y0, mask))
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
            shadow=0.0 if part.inside else 0.28,
        )

    def _blurred(self, mask: np.ndarray, size: int, toward: int) -> np.ndarray:
        """A mask blurred and moved away from the light (1) or towards it (-1)."""
        half = size // 2
        x, y = (int(np.clip(half + toward * part * half * 0.6, 0, size - 1)) for part in self.light)
        return cv2.blur(mask, (size, size), anchor=(x, y))

    def _to_region(self, origin: np.ndarray) -> np.ndarray:
        """Heads -> pixels of a region that starts at ``origin``, (2, 3)."""
        return np.hstack([self.frame.matrix[:, :2], (self.frame.matrix[:, 2] - origin)[:, None]])

    def _cloth(
        self,
        fabric: Fabric,
        shade: np.ndarray,
        grain: float,
        origin: np.ndarray,
        marks: Sequence[Mark],
        inside: bool,
    ) -> np.ndarray:
        """A fabric with its marks and folds over a region, BGR."""
        turn = np.array([[np.cos(grain), np.sin(grain)], [-np.sin(grain), np.cos(grain)]])
        linear = turn @ np.linalg.inv(self.frame.matrix[:, :2]) * TILE_PER_HEAD
        to_tile = np.hstack([linear, (linear @ (origin - self.frame.matrix[:, 2]))[:, None]])
        maps = fold_maps(round(fabric.folds * 3))
        folds = brush.lay(maps[fabric.seed % len(maps)], to_tile, shade.shape)
        shade = cv2.addWeighted(shade, 0.62 if inside else 1, folds, 0.8, -0.8 * brush.UNIT)
        if fabric.pattern == "plain" and not marks:
            return brush.plain(fabric.base, shade)
        if fabric.pattern == "plain":
            source = np.full((*shade.shape, 3), fabric.base, np.uint8)
        else:
            source = brush.lay(tile(fabric), to_tile, shade.shape)
        brush.draw_marks(source, marks, fabric, self._to_region(origin), self.frame.scale)
        return brush.shaded(source, shade, source)

    def showing(self, garment: int) -> np.ndarray:
        """Where a garment is on top, at the image's resolution: bool."""
        own = [False, *(layer.key[0] == garment for layer in self.layers)]
        return np.array(own)[self.top[::OVERSAMPLING, ::OVERSAMPLING]]

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
        """Whether most of these parts' cloth within two image pixels of a canvas point shows.

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
