"""Which garments each image shows.

Images come in pairs: number 2k is a shop's image of a garment, 2k + 1 a user's image of the same
garment. The category that is furthest behind its share leads the next pair. Every prefix of a wardrobe
therefore has the right shares, and image i does not depend on the size of the wardrobe.
"""

from dataclasses import dataclass

import numpy as np

from fashion_ops.taxonomy import CATEGORIES, NUM_CATEGORIES

MIN_SHARE = 0.026  # of all garments, for the rarest category
TOPS, OUTWEAR, BOTTOMS, DRESSES = (1, 2, 5, 6), (3, 4), (7, 8, 9), (10, 11, 12, 13)
_FLAT = 0.16  # share of pairs whose garment is laid out, not worn
_FLAT_OUTWEAR = 0.25  # and of the remaining pairs led by outwear, which covers other garments
SPLITS = {"train": 0, "validation": 1}


@dataclass(frozen=True)
class Shot:
    """One image to draw.

    Attributes:
        split: ``train`` or ``validation``.
        index: from 0; the file has number ``index + 1``.
        pair_id: from 1.
        source: ``shop`` or ``user``.
        flat: the garment lies on a surface; nobody wears it.
        garments: (category, seed of its style, style number), from the inside out.
        seed: of pose, frame, background and camera.
    """

    split: str
    index: int
    pair_id: int
    source: str
    flat: bool
    garments: tuple[tuple[int, tuple[int, ...], int], ...]
    seed: tuple[int, ...]


def shares(imbalance: float) -> np.ndarray:
    """Share of each category (13,): DeepFashion2's counts ** ``imbalance``, at least ``MIN_SHARE``."""
    weights = np.array([float(c.train_count) for c in CATEGORIES]) ** imbalance
    out = weights / weights.sum()
    for _ in range(NUM_CATEGORIES):
        low = out <= MIN_SHARE
        out[low] = MIN_SHARE
        out[~low] *= (1 - MIN_SHARE * low.sum()) / out[~low].sum()
    return out


class Deal:
    """Deals categories so that each keeps its share (13,)."""

    def __init__(self, share: np.ndarray) -> None:
        self.share = share
        self.given = np.zeros(NUM_CATEGORIES)

    def behind(self, among: tuple[int, ...], rng: np.random.Generator) -> int:
        """The one of these categories that lags its share most, with a little noise."""
        ids = np.array(among) - 1
        lag = self.share[ids] * (self.given.sum() + 1) - self.given[ids]
        return int(ids[np.argmax(lag + rng.normal(0, 0.6, len(ids)))]) + 1

    def ahead(self, among: tuple[int, ...]) -> bool:
        """Whether these categories together are more than two garments above their share."""
        ids = np.array(among) - 1
        return bool(self.given[ids].sum() > self.share[ids].sum() * self.given.sum() + 2)

    def is_crowded(self, lead: int) -> bool:
        """Whether the garments worn with this category are above their share."""
        tops = lead in BOTTOMS + OUTWEAR and self.ahead(TOPS)
        return tops or (lead in TOPS + OUTWEAR and self.ahead(BOTTOMS))

    def outfit(self, lead: int, rng: np.random.Generator) -> tuple[int, ...]:
        """The categories of an outfit with this leading garment, from the inside out."""
        if lead in DRESSES:
            return (lead,)
        if lead in BOTTOMS:
            return lead, self.behind(TOPS, rng)
        bottom = self.behind(BOTTOMS, rng)
        if lead in TOPS:
            return bottom, lead
        # Little of a top is visible under outwear, so it is a short sleeve top unless there are enough.
        top = self.behind(TOPS, rng) if self.ahead((1,)) else 1
        return bottom, top, lead


def plan(seed: int, split: str, count: int, imbalance: float) -> list[Shot]:
    """The images 0..count-1 of a split; a longer plan starts with the same images.

    Args:
        seed: of the wardrobe.
        split: ``train`` or ``validation``.
        count: number of images.
        imbalance: see ``shares``.
    """
    key = (seed, SPLITS[split])
    deal = Deal(shares(imbalance))
    shots: list[Shot] = []
    flats = 0.0
    for pair in range((count + 1) // 2):
        rng = np.random.default_rng([*key, 7, pair])
        lead = deal.behind(tuple(range(1, NUM_CATEGORIES + 1)), rng)
        flat = bool(flats < _FLAT * (pair + rng.random())) or deal.is_crowded(lead)
        flats += flat
        if lead in OUTWEAR and not flat:
            flat = bool(rng.random() < _FLAT_OUTWEAR)
        for number, source in enumerate(("shop", "user")):
            index = 2 * pair + number
            outfit = (lead,) if flat else deal.outfit(lead, rng)
            for category_id in outfit:
                deal.given[category_id - 1] += 1
            if index < count:
                garments = tuple(
                    (c, (*key, 11, pair, c) if c == lead else (*key, 13, index, c), int(c == lead))
                    for c in outfit
                )
                shots.append(Shot(split, index, pair + 1, source, flat, garments, (*key, 17, index)))
    return shots
