"""Drawing one image: dress a figure, choose the frame, paint all layers in order, annotate."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

import cv2
import numpy as np

from fashion_ops.synthetic.wardrobe import head, labels, people, props, scene
from fashion_ops.synthetic.wardrobe.body import SIDES, Figure, pose_flat, pose_worn
from fashion_ops.synthetic.wardrobe.bottoms import sew_bottom
from fashion_ops.synthetic.wardrobe.canvas import OVERSAMPLING, Canvas, Frame
from fashion_ops.synthetic.wardrobe.garment import Garment, PaintOrder
from fashion_ops.synthetic.wardrobe.outwear import sew_outwear
from fashion_ops.synthetic.wardrobe.plan import Shot
from fashion_ops.synthetic.wardrobe.style import Style, sample_style
from fashion_ops.synthetic.wardrobe.tops import sew_top

SEW = {"top": sew_top, "dress": sew_top, "outwear": sew_outwear, "bottom": sew_bottom}
Framing = Callable[[Figure, list[Garment], int], Frame]  # the int is the side of the canvas


@dataclass(frozen=True)
class Image:
    """A finished image.

    Attributes:
        pixels: BGR uint8 (h, w, 3).
        annotation: as in DeepFashion2's files.
        canvas: the painting, at ``OVERSAMPLING`` times the size.
        figure: the posed figure.
        garments: those of the shot, in its order.
        quality: of the JPEG, 1..100.
    """

    pixels: np.ndarray
    annotation: dict[str, Any]
    canvas: Canvas
    figure: Figure
    garments: list[Garment]
    quality: int = 92


def photograph(
    shot: Shot, size: int, figure: Figure | None = None, framing: Framing | None = None
) -> Image:
    """Draw one image; the same arguments give the same image.

    Args:
        shot: what to draw.
        size: side of the image, pixels.
        figure: a posed figure; None draws the pose by the shot's seed.
        framing: chooses the frame; None draws it by the shot's seed.
    """
    rng = np.random.default_rng(shot.seed)
    styles = [sample_style(c, np.random.default_rng(seed)) for c, seed, _ in shot.garments]
    styles = _worn_together(styles)
    figure = figure or _pose(rng, shot, styles)
    garments = [SEW[s.kind](s, figure) for s in styles]
    if framing is None:
        frame = _frame(rng, figure, garments, size * OVERSAMPLING)
    else:
        frame = framing(figure, garments, size * OVERSAMPLING)
    backdrop = scene.background(rng, size * OVERSAMPLING, shot.source, shot.flat)
    light = (float(rng.uniform(-1, 1)), float(rng.uniform(-1, -0.3)))
    canvas = Canvas(backdrop, frame, light)
    if shot.flat:
        _paint_flat(canvas, garments)
    else:
        _paint_worn(canvas, rng, figure, garments)
    if rng.random() < (0.03 if shot.source == "shop" else 0.12):
        props.paint_foreground(canvas, rng, np.vstack([g.ordered()[0] for g in garments]))
    pixels = cv2.resize(canvas.pixels, (size, size), interpolation=cv2.INTER_AREA)
    pixels = scene.develop(rng, pixels, shot.source)
    annotation = annotate(shot, canvas, figure, garments)
    return Image(pixels, annotation, canvas, figure, garments)


def _worn_together(styles: list[Style]) -> list[Style]:
    """Adapt the cuts of an outfit: tops are tight under outwear, a tucked hem ends at the waist."""
    if len(styles) == 3:
        bottom, inner, outer = styles
        inner = replace(
            inner,
            ease=min(inner.ease, 0.05),
            sleeve_ease=min(inner.sleeve_ease, 0.03),
            flare=0.0,
            shoulder=outer.shoulder - 0.03 if inner.sleeve else inner.shoulder,
        )
        styles = [bottom, inner, outer]
    if len(styles) > 1 and styles[1].tuck:
        hem = styles[0].waist_y + 0.16
        styles = [styles[0], replace(styles[1], hem_y=hem, hem_drop=0.03, flare=0.0), *styles[2:]]
    return styles


def _pose(rng: np.random.Generator, shot: Shot, styles: list[Style]) -> Figure:
    if shot.flat:
        return pose_flat(rng, short_sleeves=styles[0].sleeve < 0.5)
    return pose_worn(rng)


def _frame(rng: np.random.Generator, figure: Figure, garments: list[Garment], side: int) -> Frame:
    """A frame that the garments nearly fill; sometimes it cuts them."""
    points = np.vstack([g.ordered()[0] for g in garments])
    if not figure.flat and len(garments) > 1 and rng.random() < 0.25:
        # closer, on one of the garments
        points = garments[int(rng.integers(len(garments)))].ordered()[0]
    low, high = points.min(0), points.max(0)
    roll = float(rng.normal(0, 0.16 if figure.flat else 0.05))
    span = float(max(high[0] - low[0], high[1] - low[1]))
    scale = side / (span * rng.uniform(1.04, 1.2 if figure.flat else 1.3))
    center = (low + high) / 2
    slack = side / scale - (high - low)
    center = center + rng.uniform(-0.5, 0.5, 2) * np.clip(slack, 0, None) * 0.6
    if rng.random() < 0.09:  # a careless photographer
        center = center + rng.normal(0, 0.16, 2) * span
    return Frame.of(scale, roll, center, side)


def paint_parts(canvas: Canvas, garments: list[Garment], number: int, order: str) -> None:
    """Paint the parts of garment ``number`` that belong to a ``PaintOrder``."""
    garment = garments[number]
    for part in garment.parts:
        if part.order == order:
            canvas.paint_part(part, garment.style.fabric, number)


def _paint_flat(canvas: Canvas, garments: list[Garment]) -> None:
    for number in range(len(garments)):
        for order in get_args(PaintOrder):
            paint_parts(canvas, garments, number, order)


def _paint_worn(
    canvas: Canvas, rng: np.random.Generator, figure: Figure, garments: list[Garment]
) -> None:
    person = people.sample_person(rng)
    numbers = range(len(garments))
    head.paint_hair_behind(canvas, figure, person)
    for side, name in SIDES:
        if figure.arm_behind(side):
            paint_arm(canvas, figure, person, garments, side, f"{name}_sleeve")
    for number in reversed(numbers):
        paint_parts(canvas, garments, number, "behind")
    people.paint_body(canvas, figure, person)
    inside_out = list(numbers)
    if len(inside_out) > 1 and garments[1].style.tuck:
        inside_out[:2] = 1, 0
    for number in inside_out:
        paint_parts(canvas, garments, number, "body")
    for side, name in SIDES:
        if not figure.arm_behind(side):
            paint_arm(canvas, figure, person, garments, side, f"{name}_sleeve")
    head.paint_head(canvas, figure, person)
    if rng.random() < 0.14:
        props.paint_bag(canvas, figure, rng)
    for side, _ in SIDES:
        if figure.arms[side].name == "phone" or rng.random() < 0.04:
            props.paint_in_hand(canvas, figure, side, rng)


def paint_arm(
    canvas: Canvas,
    figure: Figure,
    person: people.Person,
    garments: list[Garment],
    side: int,
    order: str,
) -> None:
    """Paint an arm, then the sleeves around it from the inside out."""
    people.paint_arm(canvas, figure, person, side, max(g.style.sleeve for g in garments))
    for number in range(len(garments)):
        paint_parts(canvas, garments, number, order)


def annotate(
    shot: Shot, canvas: Canvas, figure: Figure, garments: list[Garment], *, exact: bool = False
) -> dict[str, Any]:
    """The annotation of a finished painting, as in DeepFashion2's files; ``exact`` as in ``labels``."""
    if shot.flat:
        viewpoint = labels.NO_WEAR
    elif figure.facing < 0 or figure.is_side:
        viewpoint = labels.SIDE_OR_BACK
    else:
        viewpoint = labels.FRONTAL
    annotation: dict[str, Any] = {}
    for number, garment in enumerate(garments):
        style = shot.garments[number][2]
        item = labels.label_item(canvas, garment, number, style, viewpoint, exact=exact)
        if item is not None:
            annotation[f"item{len(annotation) + 1}"] = item
    return {**annotation, "source": shot.source, "pair_id": shot.pair_id}
