"""One image of the synthetic alignment data: a garment in one of FLD's variations, or a person."""

from dataclasses import dataclass

import numpy as np

from fashion_ops.synthetic.alignment import poses
from fashion_ops.synthetic.alignment.points import fld_points, joints
from fashion_ops.synthetic.alignment.traits import attributes
from fashion_ops.synthetic.wardrobe.canvas import OVERSAMPLING
from fashion_ops.synthetic.wardrobe.generate import encode_jpeg
from fashion_ops.synthetic.wardrobe.labels import box_around, to_image
from fashion_ops.synthetic.wardrobe.plan import Shot
from fashion_ops.synthetic.wardrobe.render import Image, photograph
from fashion_ops.taxonomy.alignment import points_of_type, type_of_category

_TRIES = 6
VISIBLE, OCCLUDED, CUT_OFF = 0, 1, 2  # FLD's codes


@dataclass(frozen=True)
class Photo:
    """A JPEG and its labels in the convention of the files: pixels count from 1.

    Attributes:
        jpeg: the encoded image.
        category_id: DeepFashion2's, 1..13.
        clothes_type: FLD's: 1 upper, 2 lower, 3 full.
        variation: FLD's, one of the codes in ``poses``.
        pose: In-shop's: 1 front, 2 side, 3 back, 4 zoom-out, 5 zoom-in, 6 stand-alone.
        box: (4,), x1, y1, x2, y2, inclusive.
        landmarks: (n, 3), code, x, y.
        joints: (14, 3), code, x, y; (0, 3) for a garment that nobody wears.
        attributes: values of ``traits.ATTRIBUTES``.
    """

    jpeg: bytes
    category_id: int
    clothes_type: int
    variation: int
    pose: int
    box: np.ndarray
    landmarks: np.ndarray
    joints: np.ndarray
    attributes: np.ndarray


def photograph_garment(shot: Shot, size: int, seed: tuple[int, ...]) -> Photo:
    """Draw one garment of a shot in a random variation.

    The garment is any but a top under outwear. If the frame cuts off too few landmarks for a zoom-in,
    or too many for another variation, a new variation is drawn.

    Args:
        shot: the outfit.
        size: height of the image, pixels, and its largest width.
        seed: of garment, variation, pose and frame.

    Raises:
        RuntimeError: no frame shows the garment.
    """
    candidates = [i for i in range(len(shot.garments)) if len(shot.garments) < 3 or i != 1]
    return _photograph(shot, int(np.random.default_rng([*seed, 99]).choice(candidates)), size, seed)


def photograph_item(shot: Shot, size: int, seed: tuple[int, ...]) -> Photo:
    """As ``photograph_garment``, of the garment that a shop's and a user's shot have in common."""
    number = next(i for i, garment in enumerate(shot.garments) if garment[2])
    return _photograph(shot, number, size, seed)


def _photograph(shot: Shot, number: int, size: int, seed: tuple[int, ...]) -> Photo:
    kind = type_of_category(shot.garments[number][0])
    for attempt in range(_TRIES):
        rng = np.random.default_rng([*seed, attempt])
        drawn = 1 + int(rng.choice(5, p=poses.SHARES)) if attempt < _TRIES - 1 else poses.NORMAL
        level = drawn if drawn <= poses.LARGE else int(rng.integers(1, 3))
        figure = None if shot.flat else poses.pose(rng, level)
        image = photograph(shot, size, figure, poses.close_up(rng, number, drawn))
        left, width = _strip(rng, image, number, size)
        landmarks = _landmarks(image, number, left, width)
        cut_off = int((landmarks[:, 0] == CUT_OFF).sum())
        actual = variation(kind, cut_off, poses.NORMAL if shot.flat else level)
        box = _box(image, number, landmarks, left, width)
        if box is not None and (actual >= poses.MEDIUM_ZOOM) == (drawn >= poses.MEDIUM_ZOOM):
            return Photo(
                encode_jpeg(image.pixels[:, left : left + width]),
                shot.garments[number][0],
                kind,
                actual,
                _pose_type(shot, image, actual),
                box,
                landmarks,
                _joints(image, left, width),
                attributes(image.garments[number].style),
            )
    raise RuntimeError(f"shot {shot.index} of pair {shot.pair_id}: no frame shows its garment")


def photograph_person(shot: Shot, size: int, seed: tuple[int, ...]) -> tuple[bytes, np.ndarray]:
    """Draw a whole person: the JPEG, and the joints (14, 3) as x, y from 1, visible 1 or 0."""
    rng = np.random.default_rng(seed)
    level = int(rng.choice((poses.NORMAL, poses.MEDIUM, poses.LARGE)))
    image = photograph(shot, size, poses.pose(rng, level), poses.whole_person(rng))
    exact = to_image(image.canvas.frame.apply(joints(image.figure)))
    xy = np.clip(np.round(exact), 0, size - 1) + 1
    behind = np.zeros(len(xy), bool)
    if image.figure.is_side:  # the far arm is behind the body
        behind[slice(6, 9) if image.figure.near > 0 else slice(9, 12)] = True
    return encode_jpeg(image.pixels), np.column_stack((xy, ~behind))


def variation(kind: int, cut_off: int, level: int) -> int:
    """FLD's variation type from the number of landmarks that are cut off, else from the pose."""
    count = points_of_type(kind).num_points
    if cut_off > min(3, count // 2):
        return poses.LARGE_ZOOM
    return poses.MEDIUM_ZOOM if cut_off > 1 else level


def _strip(rng: np.random.Generator, image: Image, number: int, size: int) -> tuple[int, int]:
    """The columns of an upright image around a garment, as first column and width."""
    width = round(size * float(rng.uniform(0.68, 1.0)))
    points, _ = fld_points(image.garments[number])
    middle = float(to_image(image.canvas.frame.apply(points))[:, 0].mean())
    left = round(middle - width / 2 + float(rng.uniform(-0.12, 0.12)) * width)
    return int(np.clip(left, 0, size - width)), width


def _landmarks(image: Image, number: int, left: int, width: int) -> np.ndarray:
    canvas = image.canvas
    height = canvas.height // OVERSAMPLING
    points, parts = fld_points(image.garments[number])
    on_canvas = canvas.frame.apply(points)
    xy = np.round(to_image(on_canvas)).astype(int) - (left, 0)
    inside = ((xy >= 0) & (xy < (width, height))).all(axis=1)
    rows = np.zeros((len(points), 3), int)
    rows[~inside, 0] = CUT_OFF
    for i in np.flatnonzero(inside):
        visible = canvas.is_visible(number, parts[i], on_canvas[i])
        rows[i] = (VISIBLE if visible else OCCLUDED, *(xy[i] + 1))
    return rows


def _box(image: Image, number: int, landmarks: np.ndarray, left: int, width: int) -> np.ndarray | None:
    """The box of the visible garment and its landmarks; None if next to nothing is visible."""
    showing = image.canvas.showing(number)[:, left : left + width]
    inside = landmarks[landmarks[:, 0] != CUT_OFF, 1:]
    if showing.sum() < 0.02 * showing.size or not len(inside):
        return None
    return box_around(showing, inside - 1) + 1


def _joints(image: Image, left: int, width: int) -> np.ndarray:
    """Code (0 inside, 1 outside the image), x, y of the joints; (0, 3) for a garment on a table."""
    if image.figure.flat:
        return np.zeros((0, 3), int)
    height = image.canvas.height // OVERSAMPLING
    exact = to_image(image.canvas.frame.apply(joints(image.figure)))
    xy = np.round(exact).astype(int) - (left, 0)
    inside = ((xy >= 0) & (xy < (width, height))).all(axis=1, keepdims=True)
    return np.where(inside, np.column_stack((np.zeros(len(xy), int), xy + 1)), (1, 0, 0))


def _pose_type(shot: Shot, image: Image, variation_type: int) -> int:
    if shot.flat:
        return 6
    if variation_type >= poses.MEDIUM_ZOOM:
        return 5
    if image.figure.facing < 0:
        return 3
    return 2 if image.figure.is_side else 1
