"""Groupings: which of the 294 landmarks share one output channel of a model.

- ``none``: 294 groups, every landmark its own.
- ``agg81``: the 81 groups of "Aggregation and Finetuning for Clothes Landmark Detection", as its
  authors published them.
- ``semantic62``: our reconstruction of DeepMark++'s 62 groups (its rule: landmarks of identical
  meaning merge across categories). Starting from agg81, a short sleeve merges into the long one
  (-12), strap ends into shoulder ends (-2) and the skirt into the skirt of a dress (-5). The list of
  the paper was never published.
- the name of a category (``skirt``): the landmarks of that category alone, for a model of it.

No grouping puts two landmarks of one category into one group, so for a known category grouping
loses nothing and ``ungroup(group(x)) == x``.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import numpy as np

from fashion_ops.taxonomy.tables import (
    CATEGORIES,
    CATEGORY_NAMES,
    NUM_LANDMARKS,
    Category,
    category,
    read_table,
)

GroupingName = Literal["none", "agg81", "semantic62"]
GROUPINGS: tuple[str, ...] = get_args(GroupingName)


@dataclass(frozen=True)
class Grouping:
    """A map from the 294 landmarks to ``num_groups`` groups.

    ``group_of_slot`` has shape (294,), values 0..num_groups-1, or -1 for landmarks of categories
    that are not in the grouping.
    """

    name: str
    num_groups: int
    group_of_slot: np.ndarray

    def channels(self, category_id: int) -> np.ndarray:
        """Group (channel) of each landmark of a category, shape (num_landmarks,).

        Raises:
            ValueError: the category is not in the grouping.
        """
        c = category(category_id)
        channels = self.group_of_slot[c.slots]
        if (channels < 0).any():
            raise ValueError(f"grouping {self.name} has no channels for {c.name}")
        return channels

    @property
    def categories(self) -> list[Category]:
        """The categories in the grouping: all 13, or one."""
        return [c for c in CATEGORIES if self.group_of_slot[c.slots.start] >= 0]

    def group(self, category_id: int, landmarks: np.ndarray) -> np.ndarray:
        """(..., num_landmarks, D) of one category -> (..., num_groups, D); absent groups are 0."""
        out = np.zeros((*landmarks.shape[:-2], self.num_groups, landmarks.shape[-1]), landmarks.dtype)
        out[..., self.channels(category_id), :] = landmarks
        return out

    def ungroup(self, category_id: int, groups: np.ndarray) -> np.ndarray:
        """(..., num_groups, D) -> (..., num_landmarks, D) of one category."""
        return groups[..., self.channels(category_id), :]

    @property
    def mask(self) -> np.ndarray:
        """Which groups each category uses: bool (13, num_groups), row = category id - 1."""
        out = np.zeros((len(CATEGORIES), self.num_groups), bool)
        for c in self.categories:
            out[c.id - 1, self.channels(c.id)] = True
        return out

    def mirror(self, *, official_figure: bool = False) -> np.ndarray:
        """Permutation (num_groups,) of groups that a horizontal flip applies.

        With ``official_figure=True`` short sleeve outwear disagrees with the categories that share
        its groups, so only the grouping ``none`` supports it.

        Raises:
            ValueError: the categories disagree on a group's mirror.
        """
        out = np.full(self.num_groups, -1)
        for c in self.categories:
            channels = self.channels(c.id)
            mirrored = channels[c.mirror(official_figure=official_figure)]
            clash = (out[channels] >= 0) & (out[channels] != mirrored)
            if clash.any():
                raise ValueError(
                    f"grouping {self.name}: {c.name} mirrors group {int(channels[clash][0])} to "
                    f"{int(mirrored[clash][0])}, other categories to {int(out[channels][clash][0])}"
                )
            out[channels] = mirrored
        return out


@cache
def load_grouping(name: str) -> Grouping:
    """The grouping of this name: one of ``GROUPINGS``, or the name of a category.

    Raises:
        ValueError: the name is unknown.
    """
    if name in CATEGORY_NAMES:
        c = category(name)
        groups = np.full(NUM_LANDMARKS, -1)
        groups[c.slots] = np.arange(c.num_landmarks)
        return Grouping(name, c.num_landmarks, groups)
    if name not in GROUPINGS:
        known = ", ".join(GROUPINGS)
        raise ValueError(f"unknown grouping {name!r}; known: {known}, or the name of a category")
    if name == "none":
        groups = np.arange(NUM_LANDMARKS)
    else:
        groups = np.array([int(row[name]) - 1 for row in read_table("landmarks.csv")])
    return Grouping(name, int(groups.max()) + 1, groups)
