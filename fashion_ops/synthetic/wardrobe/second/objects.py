"""Things that are no garments: hats, shoes, bags, towels, hangers, what a person has in front.

Each is painted on the canvas in heads. A thing is drawn ``size`` heads long around a point ``at`` (2,).
"""

from collections.abc import Callable

import numpy as np

from fashion_ops.synthetic.wardrobe.body import LEFT, RIGHT, WAIST_Y, Figure
from fashion_ops.synthetic.wardrobe.canvas import Canvas
from fashion_ops.synthetic.wardrobe.garment import Mark, Part
from fashion_ops.synthetic.wardrobe.geometry import curve, ellipse, limb, xy
from fashion_ops.synthetic.wardrobe.second.cuts import sample_cloth, sample_color
from fashion_ops.synthetic.wardrobe.style import Style

Draw = Callable[[Canvas, np.random.Generator, np.ndarray, float], None]


def paint_cloth(
    canvas: Canvas,
    rng: np.random.Generator,
    polygons: tuple[np.ndarray, ...],
    marks: tuple[Mark, ...] = (),
) -> None:
    """Paint polygons (k, 2) of a random cloth that belongs to no garment."""
    part = Part("", "body", polygons, grain=float(rng.uniform(-0.5, 0.5)), marks=marks)
    canvas.paint_part(part, sample_cloth(rng), -1)


def stroke(line: np.ndarray, width: float) -> np.ndarray:
    """A line (k, 2) with a width, as a polygon."""
    outer, inner = limb(line, (width / 2, width / 2), 1)
    return np.vstack([outer, inner[::-1]])


def _turned(points: np.ndarray | list, at: np.ndarray, size: float, angle: float) -> np.ndarray:
    c, s = np.cos(angle) * size, np.sin(angle) * size
    return np.asarray(points, float) @ np.array([[c, s], [-s, c]]) + at


def beanie(canvas: Canvas, rng: np.random.Generator, at: np.ndarray, size: float) -> None:
    """A knitted hat with a turned-up band, some with a bobble."""
    angle, wide = float(rng.normal(0, 0.3)), rng.uniform(0.4, 0.56)
    dome = [(-wide, 0.3), (-wide * 1.04, -0.1), (-wide * 0.6, -0.5), (0, -0.62)]
    dome += [(wide * 0.6, -0.5), (wide * 1.04, -0.1), (wide, 0.3), (0, 0.36), (-wide, 0.3)]
    ribs = tuple(
        Mark("line", _turned([(x, 0.1), (x * 0.6, -0.4)], at, size, angle), "dark", 0.02 * size)
        for x in np.linspace(-0.4, 0.4, 7)
    )
    paint_cloth(canvas, rng, (_turned(curve(dome, 5), at, size, angle),), ribs)
    band = curve([(-wide - 0.02, 0.08), (0, 0.14), (wide + 0.02, 0.08)], 5)
    low = band[::-1] + xy(0, rng.uniform(0.2, 0.32))
    paint_cloth(canvas, rng, (_turned(np.vstack([band, low]), at, size, angle),))
    if rng.random() < 0.35:
        paint_cloth(canvas, rng, (_turned(ellipse((0, -0.7), 0.17, 0.16), at, size, angle),))


def cap(canvas: Canvas, rng: np.random.Generator, at: np.ndarray, size: float) -> None:
    """A cap or a hat with a brim, from the side or from above."""
    angle, color = float(rng.normal(0, 0.35)), sample_color(rng)
    side = float(rng.choice([-1, 1]))
    dome = [(-0.5, 0.2), (-0.46, -0.2), (-0.1, -0.42), (0.3, -0.32), (0.5, 0.2), (0, 0.26), (-0.5, 0.2)]
    flip = np.array([side, 1.0])
    brim_first = rng.random() < 0.5
    if rng.random() < 0.55:
        brim = [(0.1, 0.16), (0.5, 0.1), (0.95, 0.26), (0.9, 0.38), (0.4, 0.34), (0.1, 0.16)]
    else:
        brim = ellipse((0, 0.22), rng.uniform(0.75, 1.0), rng.uniform(0.12, 0.3))
    shapes = [curve(dome, 5), np.asarray(brim, float)]
    patterned = rng.random() < 0.4
    for shape in shapes[::-1] if brim_first else shapes:
        outline = _turned(shape * flip, at, size, angle)
        if patterned and shape is shapes[0]:
            paint_cloth(canvas, rng, (outline,))
        else:
            canvas.paint([outline], color, soft=0.25 * size)
    if rng.random() < 0.6:
        badge = ellipse((0.12, -0.06), 0.14, 0.11) * flip
        canvas.paint([_turned(badge, at, size, angle)], sample_color(rng), shadow=0, soft=0.1)


def shoe(canvas: Canvas, rng: np.random.Generator, at: np.ndarray, size: float) -> None:
    """A pair of shoes, boots or sandals, from the side or from above."""
    color, sole, angle = sample_color(rng), sample_color(rng), float(rng.normal(0, 0.5))
    kind, side = int(rng.integers(4)), float(rng.choice([-1, 1]))
    gap = xy(0.0, 0.45) if rng.random() < 0.4 else xy(0.42, 0.08)
    for number in (-0.5, 0.5):
        flip = np.array([side, 1.0])

        def place(points: np.ndarray | list, number: float = number) -> np.ndarray:
            return _turned(np.asarray(points, float) * flip + gap * number, at, size, angle)  # noqa: B023

        if kind == 0:  # a sneaker from the side
            upper = [
                (-0.48, 0.15),
                (-0.46, -0.24),
                (-0.12, -0.28),
                (0.1, -0.08),
                (0.5, 0.02),
                (0.56, 0.15),
            ]
            canvas.paint([place(curve([*upper, (0, 0.18), upper[0]], 4))], color, soft=0.15 * size)
            base = [(-0.52, 0.1), (0.6, 0.1), (0.58, 0.24), (-0.5, 0.24)]
            canvas.paint([place(base)], sole, volume=0.1, soft=0.1)
            for x in (-0.06, 0.04, 0.14):
                lace = stroke(np.array([(x, -0.14 + x * 0.4), (x + 0.1, -0.06 + x * 0.4)]), 0.04)
                canvas.paint([place(lace)], sole, volume=0, shadow=0.1, soft=0.05)
        elif kind == 1:  # a boot
            boot = [(-0.3, -0.7), (-0.02, -0.7), (0.02, -0.1), (0.4, 0.02), (0.46, 0.2), (-0.32, 0.2)]
            canvas.paint([place(curve([*boot, boot[0]], 3))], color, soft=0.2 * size)
            canvas.paint([place([(-0.34, 0.16), (0.48, 0.16), (0.48, 0.27), (-0.34, 0.27)])], sole)
        elif kind == 2:  # a sandal from above
            canvas.paint([place(curve(ellipse((0, 0), 0.55, 0.19, n=14), 3))], sole, soft=0.1)
            for x in (-0.3, 0.12, 0.26):
                strap = stroke(curve([(x, -0.2), (x + 0.1, 0.0), (x, 0.2)], 4), 0.08)
                canvas.paint([place(strap)], color, soft=0.06)
        else:  # a shoe from above
            last = [(-0.55, 0), (-0.42, -0.17), (0.1, -0.18), (0.45, -0.16), (0.58, 0.02), (0.4, 0.18)]
            canvas.paint([place(curve([*last, (-0.4, 0.16), last[0]], 4))], color, soft=0.15 * size)
            canvas.paint([place(ellipse((-0.26, 0), 0.24, 0.11))], (30, 30, 34), volume=0, shadow=0)


def bag(canvas: Canvas, rng: np.random.Generator, at: np.ndarray, size: float) -> None:
    """A handbag, a backpack or a tote with a handle."""
    color, angle = sample_color(rng), float(rng.normal(0, 0.2))
    handle = curve([(-0.3, -0.2), (-0.24, -0.62), (0.24, -0.62), (0.3, -0.2)], 6)
    canvas.paint([_turned(stroke(handle, 0.07), at, size, angle)], color, volume=0.1, soft=0.08)
    wide, high = rng.uniform(0.4, 0.6), rng.uniform(0.3, 0.6)
    body = [(-wide, -0.25), (wide, -0.25), (wide * rng.uniform(0.8, 1.1), high), (-wide * 0.95, high)]
    if rng.random() < 0.4:
        paint_cloth(canvas, rng, (_turned(body, at, size, angle),))
    else:
        canvas.paint([_turned(body, at, size, angle)], color, soft=0.3 * size)
    if rng.random() < 0.6:
        flap = [(-wide, -0.27), (wide, -0.27), (wide * 0.9, 0.1), (-wide * 0.9, 0.1)]
        canvas.paint([_turned(flap, at, size, angle)], color, soft=0.2 * size)


def box(canvas: Canvas, rng: np.random.Generator, at: np.ndarray, size: float) -> None:
    """A book, a box, a pillow or a folded towel."""
    angle, w, h = float(rng.uniform(-0.8, 0.8)), rng.uniform(0.3, 0.6), rng.uniform(0.2, 0.6)
    shape = _turned([(-w, -h), (w, -h), (w, h), (-w, h)], at, size, angle)
    if rng.random() < 0.5:
        paint_cloth(canvas, rng, (shape,))
    else:
        canvas.paint([shape], sample_color(rng), volume=float(rng.uniform(0, 0.4)), soft=0.2 * size)


def disc(canvas: Canvas, rng: np.random.Generator, at: np.ndarray, size: float) -> None:
    """A plate, a ball, a lamp or a cushion."""
    rx, ry = rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.5)
    shape = ellipse(at, rx * size, ry * size, float(rng.uniform(0, np.pi)))
    canvas.paint([shape], sample_color(rng), volume=float(rng.uniform(0, 0.5)), soft=0.4 * size)


def plant(canvas: Canvas, rng: np.random.Generator, at: np.ndarray, size: float) -> None:
    """Leaves from one point."""
    green = (int(rng.uniform(30, 90)), int(rng.uniform(80, 150)), int(rng.uniform(40, 110)))
    for angle in rng.uniform(-1.2, 1.2, int(rng.integers(3, 8))):
        tip = at + size * rng.uniform(0.5, 1.0) * xy(np.sin(angle), -np.cos(angle))
        side = np.array([tip[1] - at[1], at[0] - tip[0]]) * rng.uniform(0.08, 0.2)
        middle = (at + tip) / 2
        leaf = np.vstack([curve([at, middle + side, tip], 4), curve([tip, middle - side, at], 4)])
        canvas.paint([leaf], green, soft=0.12 * size)


THINGS: tuple[Draw, ...] = (box, disc, plant, bag, shoe, cap, beanie)
WORN_THINGS: tuple[Draw, ...] = (shoe, shoe, beanie, cap, cap, beanie, bag)


def scatter(
    canvas: Canvas, rng: np.random.Generator, low: np.ndarray, high: np.ndarray, count: int
) -> None:
    """Paint things anywhere in the box from ``low`` to ``high``, both (2,), in heads."""
    span = float((high - low).max())
    for _ in range(count):
        draw = THINGS[int(rng.integers(len(THINGS)))]
        draw(canvas, rng, rng.uniform(low, high), float(rng.uniform(0.1, 0.34)) * span)


def paint_hanger(canvas: Canvas, rng: np.random.Generator, style: Style) -> None:
    """Paint a hanger: its hook, and shoulders for a top or clips for a bottom."""
    color = sample_color(rng)
    if style.kind == "bottom":
        y = style.waist_y - rng.uniform(0.06, 0.16)
        reach = rng.uniform(0.5, 0.75)
        bar = stroke(np.array([(-reach, y), (reach, y)]), 0.06)
        clips = [np.array([(x, y - 0.06), (x + 0.12, y - 0.06), (x + 0.12, y + 0.2), (x, y + 0.2)])
                 for x in (-reach * 0.8, reach * 0.8 - 0.12)]  # fmt: skip
        canvas.paint([bar, *clips], color, soft=0.1)
    else:
        y = 1.3
        reach, drop = style.shoulder * 0.95, rng.uniform(0.15, 0.3)
        wood = rng.uniform(0.05, 0.14)
        arms = curve([(-reach, y + drop), (-0.15, y - 0.02), (0.15, y - 0.02), (reach, y + drop)], 5)
        canvas.paint([stroke(arms, wood)], color, soft=0.1)
    top = y - rng.uniform(0.35, 0.6)
    hook = [(0, y), (0, top + 0.16), (0.1, top + 0.06), (0.02, top - 0.06), (-0.11, top + 0.02)]
    metal = (150, 150, 155) if rng.random() < 0.6 else color
    canvas.paint([stroke(curve(hook, 5), 0.045)], metal, volume=0.1, soft=0.06)
    if rng.random() < 0.4:
        rail = stroke(np.array([(-6.0, top - 0.08), (6.0, top - 0.08 + rng.normal(0, 0.1))]), 0.1)
        canvas.paint([rail], sample_color(rng), soft=0.1)


def paint_worn_in_front(canvas: Canvas, rng: np.random.Generator, figure: Figure) -> None:
    """Paint what a person wears or holds in front of clothes: scarf, strap, backpack, book, table."""
    kind = rng.random()
    if kind < 0.11:  # a scarf or a towel around the neck
        ring = ellipse(figure.point(0, 1.36, 0.3), 0.42, 0.2)
        x = float(rng.uniform(-0.25, 0.25))
        tail = figure.front(x, np.linspace(1.4, rng.uniform(2.2, 3.2), 6), 0.1)
        paint_cloth(canvas, rng, (ring, stroke(tail, float(rng.uniform(0.2, 0.34)))))
    elif kind < 0.19:  # a lanyard, a tie or earphones
        low = figure.front(float(rng.normal(0, 0.05)), float(rng.uniform(2.3, 3.0)), 0.05)
        ends = [figure.point(s * 0.3, 1.36, 0.2) for s in (LEFT, RIGHT)]
        line = np.vstack([curve([ends[0], (ends[0] + low) / 2, low], 4), curve([low, ends[1]], 4)])
        width = float(rng.uniform(0.02, 0.07))
        for piece in (line[:9], line[9:]):
            canvas.paint([stroke(piece, width)], sample_color(rng), volume=0, soft=0.06)
    elif kind < 0.27:  # the straps of a backpack
        color = sample_color(rng)
        for side in (LEFT, RIGHT):
            top, low = figure.point(side * 0.52, 1.4, 0.1), figure.edge(2.5, side, 0.0)
            middle = figure.front(side * 0.42, 1.95)
            canvas.paint([stroke(curve([top, middle, low], 4), 0.13)], color, soft=0.1)
    elif kind < 0.43:  # held in the hands
        side = int(rng.choice([LEFT, RIGHT]))
        arm = figure.arms[side].joints
        hand = arm[2] + 0.2 * (arm[2] - arm[1])
        draw = bag if rng.random() < 0.5 else box
        draw(canvas, rng, hand + xy(0, 0.3), float(rng.uniform(0.5, 1.1)))
    elif kind < 0.5:  # a table or a counter in front
        y = rng.uniform(WAIST_Y, 4.6)
        slope = rng.normal(0, 0.25)
        board = np.array([(-8.0, y - slope), (8.0, y + slope), (8.0, 12.0), (-8.0, 12.0)])
        canvas.paint([board], sample_color(rng), volume=0, shadow=0.3)
