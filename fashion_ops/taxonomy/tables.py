"""DeepFashion2's 13 categories and 294 landmarks, read from the CSV tables beside this file.

Numbering: a *landmark id* is 1..294 as in DeepFashion2's evaluation; an *index* counts from 0
within one category, in the order of its annotations. "Left" is the left of the official numbering
figure: the viewer's left on a garment seen from the front. It stays with the garment when the garment
turns, so on a back view the left landmarks are on the right of the image.

Sources: counts, sigmas and skeleton are from Ge et al., DeepFashion2 (CVPR 2019); the names are ours,
after the official numbering figure.
"""

import csv
from dataclasses import dataclass
from functools import cached_property
from importlib import resources

import numpy as np

NUM_CATEGORIES = 13
NUM_LANDMARKS = 294


def read_table(name: str) -> list[dict[str, str]]:
    """Rows of one of the CSV tables of this package."""
    text = resources.files("fashion_ops.taxonomy").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@dataclass(frozen=True)
class Category:
    """One garment category and its landmarks.

    ``name`` is our name (``vest_dress``), ``label`` that of the annotations, ``coco_name`` that of the
    official converter; the counts are numbers of garments in DeepFashion2. ``first`` is the landmark id
    (1-based) of the first landmark; see ``slots``. ``sigmas`` are the OKS sigmas, (num_landmarks,).
    """

    id: int
    name: str
    label: str
    coco_name: str
    train_count: int
    validation_count: int
    first: int
    landmark_names: tuple[str, ...]
    sigmas: np.ndarray
    _mirror: np.ndarray
    _mirror_official_figure: np.ndarray

    @property
    def num_landmarks(self) -> int:
        """How many landmarks garments of this category have."""
        return len(self.landmark_names)

    @property
    def slots(self) -> slice:
        """The positions of this category's landmarks in an array of all 294."""
        return slice(self.first - 1, self.first - 1 + self.num_landmarks)

    def mirror(self, *, official_figure: bool = False) -> np.ndarray:
        """Permutation (num_landmarks,) of indices that a horizontal flip applies.

        In the official figure, labels 2 and 4 of short sleeve outwear are swapped with respect to all
        other categories and to its own sigmas; ``official_figure=True`` follows the figure all the
        same (docs/decisions.md, "mirror pairs of short sleeve outwear").
        """
        return self._mirror_official_figure if official_figure else self._mirror

    @cached_property
    def links(self) -> tuple[tuple[int, int], ...]:
        """Skeleton links as pairs of indices within this category."""
        last = self.first + self.num_landmarks
        return tuple(
            (a - self.first, b - self.first)
            for a, b in SKELETON
            if self.first <= a < last and self.first <= b < last
        )


def _load() -> tuple[Category, ...]:
    landmarks = read_table("landmarks.csv")
    categories = []
    for row in read_table("categories.csv"):
        points = [r for r in landmarks if r["category_id"] == row["category_id"]]
        first = int(points[0]["landmark_id"])
        categories.append(
            Category(
                id=int(row["category_id"]),
                name=row["name"],
                label=row["label"],
                coco_name=row["coco_name"],
                train_count=int(row["train_count"]),
                validation_count=int(row["validation_count"]),
                first=first,
                landmark_names=tuple(r["name"] for r in points),
                sigmas=np.array([float(r["sigma"]) for r in points]),
                _mirror=np.array([int(r["mirror_id"]) - first for r in points]),
                _mirror_official_figure=np.array(
                    [int(r["mirror_id_official_figure"]) - first for r in points]
                ),
            )
        )
    return tuple(categories)


SKELETON: tuple[tuple[int, int], ...] = tuple(
    (int(r["from_landmark_id"]), int(r["to_landmark_id"])) for r in read_table("skeleton.csv")
)
CATEGORIES: tuple[Category, ...] = _load()
CATEGORY_NAMES: tuple[str, ...] = tuple(c.name for c in CATEGORIES)
_BY_NAME = {key: c for c in CATEGORIES for key in (c.name, c.label, c.coco_name)}


def category(key: int | str) -> Category:
    """The category with this id (1..13) or name, label or COCO name.

    Raises:
        KeyError: there is no such category; the message lists the known ones.
    """
    if isinstance(key, str):
        if key in _BY_NAME:
            return _BY_NAME[key]
    elif 1 <= key <= NUM_CATEGORIES:
        return CATEGORIES[key - 1]
    known = ", ".join(f"{c.id} {c.name}" for c in CATEGORIES)
    raise KeyError(f"unknown category {key!r}; known: {known}")


def sigmas() -> np.ndarray:
    """The official 294 OKS sigmas, shape (294,)."""
    return np.concatenate([c.sigmas for c in CATEGORIES])
