"""Writing all synthetic alignment data sets; images are drawn on several processes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fashion_ops.params import SynthesizeAlignment
from fashion_ops.synthetic.alignment import datasets
from fashion_ops.synthetic.alignment.photos import (
    photograph_garment,
    photograph_item,
    photograph_person,
)
from fashion_ops.synthetic.wardrobe.generate import run_in_order
from fashion_ops.synthetic.wardrobe.plan import Shot, plan

SPLITS = ("train", "val", "test")
CONSUMER_PHOTOS = 2  # of each item, after the shop's
_IMBALANCE = 0.35
_CHUNK = 25
_GARMENTS, _ITEMS, _PEOPLE = 1, 2, 3  # streams of random numbers

Numbered = tuple[tuple[int, ...], Shot]  # a shot and the seed of its pose and frame
Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


def generate(
    config: SynthesizeAlignment,
    folder: Path,
    *,
    seed: int,
    workers: int,
    progress: Progress = lambda work, _text, _count: work,
) -> dict[str, int]:
    """Write fld, category_attribute, in_shop, consumer_to_shop and lsp below ``folder``.

    Args:
        config: numbers and size of the images.
        folder: gets a subfolder per data set.
        seed: of everything that is drawn.
        workers: number of processes; the bytes do not depend on it.
        progress: wraps the iterable of images; called with it, a text and the number of images.

    Returns:
        Number of images of each data set.
    """
    sizes = [getattr(config, split) for split in SPLITS]
    shots: list[Numbered] = []
    for k, count in enumerate(sizes):
        split_shots = _plan((seed, _GARMENTS, k), count)
        shots += [((seed, _GARMENTS, k, i), shot) for i, shot in enumerate(split_shots)]
    garments = len(shots)
    item_shots = _item_shots(seed, config.items)
    worn = [s for s in _plan((seed, _PEOPLE), 2 * config.people + 20) if not s.flat]
    person_shots = [((seed, _PEOPLE, i), shot) for i, shot in enumerate(worn[: config.people])]
    work = (
        (photograph_garment, shots),
        (photograph_item, item_shots),
        (photograph_person, person_shots),
    )
    total = sum(len(part) for _, part in work)
    images = list(progress(_draw(work, config.size, workers), "synthesize_alignment", total))
    ends = np.cumsum([0, *sizes])
    splits = {s: images[a:b] for s, a, b in zip(SPLITS, ends[:-1], ends[1:], strict=True)}
    item_photos = images[garments : garments + len(item_shots)]
    people = images[garments + len(item_shots) :]
    per_item = datasets.SHOP_PHOTOS + CONSUMER_PHOTOS
    by_item = [item_photos[i : i + per_item] for i in range(0, len(item_photos), per_item)]
    datasets.write_fld(folder / "fld", splits)
    datasets.write_category_attribute(folder / "category_attribute", splits)
    datasets.write_in_shop(folder / "in_shop", by_item)
    datasets.write_consumer_to_shop(folder / "consumer_to_shop", by_item)
    datasets.write_lsp(folder / "lsp", people)
    return {
        "fld": garments,
        "category_attribute": garments,
        "in_shop": config.items * datasets.SHOP_PHOTOS,
        "consumer_to_shop": config.items * per_item,
        "lsp": len(people),
    }


def is_synthetic(folder: Path) -> bool:
    """Whether all data sets below a folder were made by ``generate``, as far as their names tell."""
    names = {path.name for path in folder.iterdir()}
    return names <= {*datasets.NAMES} and datasets.is_synthetic_lsp(folder / "lsp")


def _plan(key: tuple[int, ...], count: int) -> list[Shot]:
    """Shots that differ from those of the wardrobe with the same seed."""
    plan_seed = int(np.random.default_rng([*key, 23]).integers(1 << 31))
    return plan(plan_seed, "train", count, _IMBALANCE)


def _item_shots(seed: int, items: int) -> list[Numbered]:
    """The shop's photos of each item, then its consumers': one garment in several poses and frames."""
    out: list[Numbered] = []
    pairs = _plan((seed, _ITEMS), 2 * items)
    for item in range(items):
        shop, user = pairs[2 * item : 2 * item + 2]
        for i in range(datasets.SHOP_PHOTOS + CONSUMER_PHOTOS):
            shot = shop if i < datasets.SHOP_PHOTOS else user
            out.append(((seed, _ITEMS, item, i), replace(shot, seed=(*shot.seed, i))))
    return out


def _draw(
    work: Sequence[tuple[Callable[..., Any], Sequence[Numbered]]], size: int, workers: int
) -> Iterable[Any]:
    """Draw the shots, here or in processes; the images come in the order of the shots."""
    jobs = [
        partial(_draw_part, photograph, shots[i : i + _CHUNK], size)
        for photograph, shots in work
        for i in range(0, len(shots), _CHUNK)
    ]
    return chain.from_iterable(run_in_order(jobs, workers))


def _draw_part(photograph: Callable[..., Any], part: Sequence[Numbered], size: int) -> list[Any]:
    cv2.setNumThreads(1)
    return [photograph(shot, size, seed) for seed, shot in part]
