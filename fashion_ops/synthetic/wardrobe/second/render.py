"""Drawing one image of the second edition; labels are made as in the first."""

from dataclasses import replace
from functools import lru_cache, partial
from typing import get_args

import numpy as np

from fashion_ops.synthetic.wardrobe import head, people, props
from fashion_ops.synthetic.wardrobe.body import SIDES, Figure
from fashion_ops.synthetic.wardrobe.canvas import OVERSAMPLING, Canvas, Frame
from fashion_ops.synthetic.wardrobe.garment import Garment, PaintOrder
from fashion_ops.synthetic.wardrobe.look import Look
from fashion_ops.synthetic.wardrobe.photos import Photos
from fashion_ops.synthetic.wardrobe.render import SEW, Image, annotate, paint_arm, paint_parts
from fashion_ops.synthetic.wardrobe.second import camera, objects, poses
from fashion_ops.synthetic.wardrobe.second.backgrounds import sample_background
from fashion_ops.synthetic.wardrobe.second.cuts import mixed, sample_color, sample_cut, worn_together
from fashion_ops.synthetic.wardrobe.second.defects import develop, sample_quality
from fashion_ops.synthetic.wardrobe.second.plan import Snapshot, plan

_OWN = 12  # pictures of the wardrobe that patches are cut from
_OWN_SIZE = 128


def photograph(shot: Snapshot, size: int, photos: Photos = Photos()) -> Image:  # noqa: B008 (frozen)
    """Draw one image; the same arguments give the same image.

    Args:
        shot: what to draw.
        size: longer side of the image, pixels.
        photos: the user's, for backgrounds and cloth.

    Raises:
        ValueError: a photo cannot be read.
    """
    rng = np.random.default_rng(shot.seed)
    styles = [sample_cut(c, np.random.default_rng(s), photos.fabrics) for c, s, _ in shot.garments]
    styles = worn_together(styles, rng) if len(styles) > 1 else styles
    figure = _pose(rng, shot, bool(styles) and styles[0].sleeve < 0.5)
    garments = [SEW[style.kind](style, figure) for style in styles]
    shape = camera.picture_shape(rng, size)
    background = sample_background(rng, shot.setting, shape, photos.backgrounds, _own)
    light = (float(rng.uniform(-1, 1)), float(rng.uniform(-1, 0.2)))
    frame = _frame(rng, shot, garments, shape)
    canvas = Canvas(background, frame, light, _look(rng, shot), OVERSAMPLING)
    _paint(canvas, rng, shot, figure, garments)
    pixels = develop(rng, canvas.pixels, shot.source)
    annotation = annotate(shot, canvas, figure, garments, exact=True)
    return Image(pixels, annotation, canvas, figure, garments, sample_quality(rng, shot.source))


@lru_cache(maxsize=_OWN)
def _picture(number: int) -> np.ndarray:
    shots = [shot for shot in plan(0, "train", 4 * _OWN, 0.0) if shot.setting == "worn"]
    rng = np.random.default_rng([5, number])
    shot = shots[number]
    figure = poses.pose_person(rng)
    garments = [SEW[s.kind](s, figure) for s in (sample_cut(c, rng) for c, _, _ in shot.garments)]
    shape = (_OWN_SIZE, _OWN_SIZE)
    frame = camera.sample_frame(rng, "worn", garments, shape)
    background = np.empty((*shape, 3), np.uint8)
    background[:] = sample_color(rng)
    canvas = Canvas(background, frame, (0.5, -0.5), _look(rng, shot), OVERSAMPLING)
    _paint_worn(canvas, rng, figure, garments)
    return canvas.pixels


def _own(number: int) -> np.ndarray:
    """A finished picture of the wardrobe, BGR uint8."""
    return _picture(number % _OWN)


def _pose(rng: np.random.Generator, shot: Snapshot, short_sleeves: bool) -> Figure:
    if shot.setting == "worn":
        return poses.pose_person(rng)
    if shot.setting == "hanger":
        return poses.pose_hung_up(rng)
    return poses.pose_laid_out(rng, short_sleeves)


def _frame(
    rng: np.random.Generator, shot: Snapshot, garments: list[Garment], shape: tuple[int, int]
) -> Frame:
    if garments:
        return camera.sample_frame(rng, shot.setting, garments, shape)
    corners = np.array([(-1.0, -1.0), (1.0, 1.0)])
    return camera.frame_around(rng, "empty", corners, 1.0, shape)


def _look(rng: np.random.Generator, shot: Snapshot) -> Look:
    """Strengths from nothing to more than the first edition's, in steps that share lookup tables."""

    def strength(none: float, most: float) -> float:
        return 0.0 if rng.random() < none else round(float(rng.uniform(0, most)), 1)

    return Look(
        rim=strength(0.15, 1.3),
        shadow=strength(0.15, 1.5),
        soft=round(float(rng.uniform(0.4, 1.6)), 1),
        folds=strength(0.05, 1.8),
        creased=bool(rng.random() < (0.85 if shot.flat else 0.4)),
        seams=strength(0.25, 1.1),
    )


def _paint(
    canvas: Canvas, rng: np.random.Generator, shot: Snapshot, figure: Figure, garments: list[Garment]
) -> None:
    if shot.setting == "empty":
        _paint_empty(canvas, rng)
        return
    points = np.vstack([g.ordered()[0] for g in garments])
    low, high = points.min(0), points.max(0)
    if rng.random() < 0.3:  # behind
        objects.scatter(canvas, rng, low - 1.0, high + 1.0, int(rng.integers(1, 5)))
    if shot.setting == "worn":
        _paint_worn(canvas, rng, figure, garments)
    else:
        _paint_unworn(canvas, rng, shot, garments)
    if rng.random() < (0.28 if shot.source == "user" else 0.12):  # in front, at one edge
        edge = np.array([rng.choice([low[0], high[0]]), rng.uniform(low[1], high[1])])
        objects.scatter(canvas, rng, edge - 0.3, edge + 0.3, 1)


def _paint_empty(canvas: Canvas, rng: np.random.Generator) -> None:
    """A negative: hats, shoes or bags on a surface, or only the room."""
    kind = rng.random()
    if kind > 0.55:
        objects.scatter(canvas, rng, np.full(2, -1.2), np.full(2, 1.2), int(rng.integers(0, 5)))
    if kind < 0.75:
        thing = objects.WORN_THINGS[int(rng.integers(len(objects.WORN_THINGS)))]
        thing(canvas, rng, rng.uniform(-0.25, 0.25, 2), float(np.exp(rng.uniform(-0.3, 0.7))))


def _paint_unworn(
    canvas: Canvas, rng: np.random.Generator, shot: Snapshot, garments: list[Garment]
) -> None:
    for number, garment in enumerate(garments):
        for order in get_args(PaintOrder):
            paint_parts(canvas, garments, number, order)
            if order == "behind" and shot.setting == "hanger" and garment.style.kind != "bottom":
                objects.paint_hanger(canvas, rng, garment.style)
        if shot.setting == "hanger" and garment.style.kind == "bottom":
            objects.paint_hanger(canvas, rng, garment.style)


def _person(rng: np.random.Generator) -> people.Person:
    """A person with colours between the first edition's, and hair that more often hides clothes."""
    person, other = people.sample_person(rng), people.sample_person(rng)
    between = partial(mixed, share=float(rng.random()))
    style = str(rng.choice(["long", "wavy"])) if rng.random() < 0.4 else person.hair_style
    return replace(
        person,
        skin=between(person.skin, other.skin),
        hair=between(person.hair, other.hair) if rng.random() < 0.85 else sample_color(rng),
        shoes=sample_color(rng),
        cap=sample_color(rng),
        hair_style=style,
        hair_in_front=(bool(rng.random() < 0.65), bool(rng.random() < 0.65)),
    )


def _paint_worn(
    canvas: Canvas, rng: np.random.Generator, figure: Figure, garments: list[Garment]
) -> None:
    person = _person(rng)
    numbers = list(range(len(garments)))
    head.paint_hair_behind(canvas, figure, person)
    for side, name in SIDES:
        if figure.arm_behind(side):
            paint_arm(canvas, figure, person, garments, side, f"{name}_sleeve")
    for number in reversed(numbers):
        paint_parts(canvas, garments, number, "behind")
    people.paint_body(canvas, figure, person)
    if len(garments) > 1 and garments[0].style.kind == "bottom" and garments[1].style.tuck:
        numbers[:2] = 1, 0
    for number in numbers:
        paint_parts(canvas, garments, number, "body")
    for side, name in SIDES:
        if not figure.arm_behind(side):
            paint_arm(canvas, figure, person, garments, side, f"{name}_sleeve")
    head.paint_head(canvas, figure, person)
    if rng.random() < 0.3:
        props.paint_bag(canvas, figure, rng)
    objects.paint_worn_in_front(canvas, rng, figure)
    for side, _ in SIDES:
        if figure.arms[side].name == "phone" or rng.random() < 0.1:
            props.paint_in_hand(canvas, figure, side, rng)
