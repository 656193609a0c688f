"""Which garments stand in which picture.

Pictures come in pairs: number 2k is the shop's picture of a garment, 2k + 1 a user's picture of the
same one. Garment categories are dealt, not drawn: at each step the category that is furthest behind
its share leads the next pair, so that every prefix of a wardrobe already has the right shares, and
picture i is the same whatever the size of the wardrobe.
"""

from dataclasses import dataclass

import numpy as np

from fashion_ops.taxonomy import CATEGORIES, NUM_CATEGORIES

MIN_SHARE = 0.026  # of all garments, for the rarest category
TOPS, OUTWEAR, BOTTOMS, DRESSES = (1, 2, 5, 6), (3, 4), (7, 8, 9), (10, 11, 12, 13)
_FLAT = 0.17  # of all pairs: laid out, not worn
_SPLITS = {"train": 0, "validation": 1}


@dataclass(frozen=True)
class Shot:
    """One picture to take.

    ``garments``: (category, seed of its style, style number), from the inside out.
    """

    split: str
    index: int  # 0-based; the file is number index + 1
    pair_id: int
    source: str
    flat: bool
    garments: tuple[tuple[int, tuple[int, ...], int], ...]
    seed: tuple[int, ...]


def shares(imbalance: float) -> np.ndarray:
    """Share of each category, (13,): DeepFashion2's counts ** imbalance, at least MIN_SHARE."""
    weights = np.array([float(c.train_count) for c in CATEGORIES]) ** imbalance
    out = weights / weights.sum()
    for _ in range(NUM_CATEGORIES):
        low = out <= MIN_SHARE
        out[low] = MIN_SHARE
        out[~low] *= (1 - MIN_SHARE * low.sum()) / out[~low].sum()
    return out


def plan(seed: int, split: str, count: int, imbalance: float) -> list[Shot]:
    """The pictures 0..count-1 of a split. A longer plan starts with the same pictures."""
    want = shares(imbalance)
    given = np.zeros(NUM_CATEGORIES)
    key = (seed, _SPLITS[split])
    shots: list[Shot] = []
    flats = 0
    for pair in range((count + 1) // 2):
        rng = np.random.default_rng([*key, 7, pair])

        def behind(among: tuple[int, ...]) -> int:
            ids = np.array(among) - 1
            lag = want[ids] * (given.sum() + 1) - given[ids]
            return int(ids[np.argmax(lag + rng.normal(0, 0.6, len(ids)))]) + 1  # noqa: B023

        lead = behind(tuple(range(1, NUM_CATEGORIES + 1)))

        def ahead(among: tuple[int, ...]) -> bool:
            ids = np.array(among) - 1
            return given[ids].sum() > want[ids].sum() * given.sum() + 2

        # Laid out alone, too, when what would be worn with it has had more than its share.
        crowded = (lead in TOPS + OUTWEAR and ahead(BOTTOMS)) or (
            lead in BOTTOMS + OUTWEAR and ahead(TOPS)
        )
        flat = crowded or flats < _FLAT * (pair + rng.random())
        flats += flat
        for twin, source in enumerate(("shop", "user")):
            index = 2 * pair + twin
            outfit = (lead,) if flat else _outfit(lead, behind)
            for category_id in outfit:
                given[category_id - 1] += 1
            if index < count:
                garments = tuple(
                    (c, (*key, 11, pair, c) if c == lead else (*key, 13, index, c), int(c == lead))
                    for c in outfit
                )
                shots.append(Shot(split, index, pair + 1, source, flat, garments, (*key, 17, index)))
    return shots


def _outfit(lead: int, behind) -> tuple[int, ...]:  # noqa: ANN001 - a closure over the deal
    """What is worn with the leading garment, from the inside out."""
    if lead in DRESSES:
        return (lead,)
    if lead in OUTWEAR:
        return behind(BOTTOMS), behind(TOPS), lead
    if lead in BOTTOMS:
        return lead, behind(TOPS)
    return behind(BOTTOMS), lead
