"""What each image shows: as in the first edition, and also garments on hangers and no garment at all.

Pairs, shares of the categories, and images that don't depend on the wardrobe's size are those of
``wardrobe.plan``. Negatives come in pairs too, so that a pair's two images keep their numbers.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fashion_ops.synthetic.wardrobe.plan import (
    DRESSES,
    OUTWEAR,
    SPLITS,
    TOPS,
    Deal,
    Shot,
    shares,
)
from fashion_ops.taxonomy import NUM_CATEGORIES

Setting = Literal["worn", "flat", "hanger", "empty"]

NEGATIVES = 0.07  # share of pairs without garments: hats, shoes, bags, rooms
_FLAT = 0.2  # shares of the other pairs
_HANGER = 0.1
_FLAT_OUTWEAR = 0.2
_OVER_DRESS = 0.3  # share of worn outwear over a dress
_UNDER_DRESS = 0.15  # share of worn sleeveless dresses with a top below


@dataclass(frozen=True)
class Snapshot(Shot):
    """A shot of the second edition; ``flat`` is true wherever nobody wears the garment.

    Attributes:
        setting: how the garments are shown.
    """

    setting: Setting = "worn"


def plan(seed: int, split: str, count: int, imbalance: float) -> list[Snapshot]:
    """The images 0..count-1 of a split; a longer plan starts with the same images.

    Args:
        seed: of the wardrobe.
        split: ``train`` or ``validation``.
        count: number of images.
        imbalance: see ``wardrobe.plan.shares``.
    """
    key = (seed, SPLITS[split], 2)
    deal = Deal(shares(imbalance))
    shots: list[Snapshot] = []
    behind = {"empty": 0.0, "flat": 0.0, "hanger": 0.0}  # pairs given to each setting
    for pair in range((count + 1) // 2):
        rng = np.random.default_rng([*key, 7, pair])
        lead = deal.behind(tuple(range(1, NUM_CATEGORIES + 1)), rng)
        setting = _setting(rng, pair, behind, deal.is_crowded(lead), lead in OUTWEAR)
        for number, source in enumerate(("shop", "user")):
            index = 2 * pair + number
            outfit = _outfit(deal, lead, rng, setting)
            for category_id in outfit:
                deal.given[category_id - 1] += 1
            if index < count:
                garments = tuple(
                    (c, (*key, 11, pair, c) if c == lead else (*key, 13, index, c), int(c == lead))
                    for c in outfit
                )
                seed_of_shot = (*key, 17, index)
                shots.append(
                    Snapshot(
                        split,
                        index,
                        pair + 1,
                        source,
                        setting != "worn",
                        garments,
                        seed_of_shot,
                        setting,
                    )
                )
    return shots


def _setting(
    rng: np.random.Generator, pair: int, given: dict[str, float], crowded: bool, outwear: bool
) -> Setting:
    """The setting that is furthest behind its share; crowded outfits are laid out or hung up."""
    due = pair + rng.random()
    if given["empty"] < NEGATIVES * due:
        given["empty"] += 1
        return "empty"
    if crowded or (outwear and rng.random() < _FLAT_OUTWEAR):
        return "hanger" if rng.random() < _HANGER / (_FLAT + _HANGER) else "flat"
    shares: dict[Setting, float] = {"flat": _FLAT, "hanger": _HANGER}
    for setting, share in shares.items():
        if given[setting] < share * due:
            given[setting] += 1
            return setting
    return "worn"


def _outfit(deal: Deal, lead: int, rng: np.random.Generator, setting: Setting) -> tuple[int, ...]:
    """The categories of an image, from the inside out."""
    if setting == "empty":
        return ()
    if setting != "worn":
        return (lead,)
    if lead in OUTWEAR and rng.random() < _OVER_DRESS and not deal.ahead(DRESSES):
        return deal.behind(DRESSES, rng), lead
    if lead in DRESSES[2:] and rng.random() < _UNDER_DRESS and not deal.ahead(TOPS[:2]):
        return deal.behind(TOPS[:2], rng), lead
    if lead in TOPS and rng.random() < 0.15:  # the frame or a long top leaves no bottom
        return (lead,)
    return deal.outfit(lead, rng)
