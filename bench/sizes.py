"""Sizes against known centimetres, on flat-lay photos of garments of the wardrobe no model has seen.

    python -m bench.sizes --model models [--garments 500] [--thing "A4 sheet"] [--first 0]

Each photo shows one garment and a reference, from up to 25 degrees off the vertical (see
``flat_lay_photos``). Prints how many garments are found, the share of sizes that are shown, their mean
error in cm, and how many intervals cover the truth; also by size, by category, and for other limits of
the half interval; and how far off landmarks are by their score. A garment counts as found where a
prediction's box overlaps it by half; of the wrong category, it counts with the sizes that both
categories have. Errors of the scale alone: ``FASHION_OPS_LONG=1 pytest -s tests/measurement``.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bench.flat_lay_photos import THINGS, FlatLay, wardrobe_flat_lay
from fashion_ops.evaluation.overlaps import overlaps
from fashion_ops.inference.measuring import measure_photo
from fashion_ops.inference.predictor import Garment, Predictor
from fashion_ops.inference.second_look import find_twice, first_look
from fashion_ops.measurement.points import points_of_measure
from fashion_ops.measurement.references import ReferenceKind, Scaling
from fashion_ops.measurement.sizes import SHOWN_SHARE
from fashion_ops.methods.centernet.deploy.photo import Photo
from fashion_ops.methods.parts.device import select_device

KINDS: dict[str, ReferenceKind] = {
    "A4 sheet": "sheet", "Letter sheet": "sheet", "A4": "a4", "Letter": "letter", "card": "card"
}  # fmt: skip
LIMITS = (3.0, 3.5, 4.0, 4.5, 5.0)  # cm, of half an interval
SCORES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01)
Find = Callable[[Photo], list[Garment]]


def measured(shot: FlatLay, find: Find, scaling: Scaling, number: int) -> Iterator[dict]:
    """The sizes of one photo, each with its truth; one row without a size where nothing is found."""
    photo = Photo(shot.photo, (shot.photo.shape[1], shot.photo.shape[0]))
    truth = np.array([*shot.pixels.min(0), *shot.pixels.max(0)])
    near = [g for g in find(photo) if overlaps(np.array([g.box]), truth[None]) >= 0.5]
    row = {"photo": number, "category": shot.category, "found": bool(near), "right": False}
    if not near:
        yield row
        return
    result = measure_photo(photo, near[:1], scaling)
    row |= {"right": near[0].category == shot.category, "unit": result.unit}
    yield row
    lengths = {p.name: float(p.length(shot.cm)) for p in points_of_measure(shot.category)}
    for size in result.sizes[0]:
        if size.name in lengths:
            off = size.value - lengths[size.name]
            yield row | {
                "size": size.name, "truth": lengths[size.name], "off": off, "error": abs(off),
                "reach": size.reach, "shown": size.shown, "covers": abs(off) <= size.reach,
                "hidden": bool(size.occluded), "share": size.reach / size.value,
            }  # fmt: skip
    if row["right"]:
        side = np.sqrt(np.prod(np.subtract(near[0].box[2:], near[0].box[:2])))
        for (x, y, score), true in zip(near[0].landmarks.values(), shot.pixels, strict=True):
            away = float(np.square([x - true[0], y - true[1]]).mean() ** 0.5 / side)
            yield {"photo": number, "score": score, "away": away}


def report(rows: pd.DataFrame) -> str:
    """The tables of a measurement."""
    rows = rows.reindex(columns=rows.columns.union(["unit", "error", "score", "away"]))
    photos = rows.groupby("photo").first()
    sizes = rows[rows["unit"] == "cm"].dropna(subset=["error"])
    lines = [
        f"{len(photos)} garments: found {photos['found'].mean():.1%}, of the right category "
        f"{photos['right'].mean():.1%}; {len(sizes)} sizes in cm"
    ]
    if sizes.empty:
        return lines[0]
    shown = sizes[sizes["shown"].astype(bool)]
    for name, part in (("shown", shown), ("all", sizes)):
        error, share = part["error"], len(part) / max(len(sizes), 1)
        covered, bias = part["covers"].astype(float).mean(), part["off"].mean()
        lines.append(
            f"{name}: {len(part)} sizes ({share:.1%}), mean error {error.mean():.3f} cm, median "
            f"{error.median():.3f}, 95 % below {error.quantile(0.95):.2f}, bias {bias:+.3f}, "
            f"half interval {part['reach'].mean():.2f}, intervals cover {covered:.1%}"
        )
    for key in ("size", "category"):
        every = sizes.groupby(key)
        table = pd.DataFrame(
            {
                "sizes": every.size(),
                "shown": every["shown"].apply(lambda s: float(np.mean(s.astype(bool)))),
                "error of shown": shown.groupby(key)["error"].mean(),
                "cover of shown": shown.groupby(key)["covers"].apply(lambda s: float(np.mean(s))),
                "error of all": every["error"].mean(),
            }
        )
        lines += ["", table.round(2).to_string()]
    return "\n".join([*lines, "", by_limit(sizes), "", by_score(rows.dropna(subset=["score"]))])


def by_limit(sizes: pd.DataFrame) -> str:
    """What would be shown with other limits of the half interval."""
    exact = sizes[~sizes["hidden"].astype(bool) & (sizes["share"].astype(float) <= SHOWN_SHARE)]
    table = [
        {
            "half interval up to, cm": limit,
            "shown": len(part) / max(len(sizes), 1),
            "sizes": len(part),
            "mean error, cm": part["error"].mean(),
            "cover": part["covers"].astype(float).mean(),
        }
        for limit in LIMITS
        for part in [exact[exact["reach"] <= limit]]
    ]
    return pd.DataFrame(table).round(3).to_string(index=False)


def by_score(landmarks: pd.DataFrame) -> str:
    """How far off landmarks are: root mean square of a coordinate over the root of the box's area."""
    bins = pd.cut(landmarks["score"].astype(float), SCORES, right=False)
    square = np.square(landmarks["away"].astype(float))
    every = square.groupby(bins, observed=True)
    table = pd.DataFrame({"landmarks": every.size(), "off": np.sqrt(every.mean())})
    over = float(np.sqrt((square * np.square(landmarks["score"].astype(float))).mean()))
    return f"{table.round(4).to_string()}\nover the score: {over:.4f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models"))
    parser.add_argument("--garments", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--thing", choices=THINGS, default="A4 sheet")
    parser.add_argument("--min-score", type=float, default=0.3)
    parser.add_argument("--rows", type=Path, help="Parquet file for all sizes")
    given = parser.parse_args()
    scaling = Scaling(KINDS[given.thing])
    predictor = Predictor.load(given.model, select_device("cpu"))

    def find(photo: Photo) -> list[Garment]:
        return find_twice(predictor.predict_many, [photo], given.min_score, first_look(predictor))[0]

    rows: list[dict] = []
    for number in range(given.first, given.first + given.garments):
        shot = wardrobe_flat_lay(number, given.thing)
        rows += measured(shot, find, scaling, number)
    table = pd.DataFrame(rows)
    if given.rows:
        table.to_parquet(given.rows)
    print(report(table))


if __name__ == "__main__":
    main()
