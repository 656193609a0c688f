"""All data sets of the twin below one folder; images are painted on several processes."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fashion_ops.synthetic.alignment import datasets
from fashion_ops.synthetic.alignment.photos import (
    photograph_garment,
    photograph_item,
    photograph_person,
)
from fashion_ops.synthetic.wardrobe.plan import Shot, plan

SPLITS = ("train", "val", "test")
CONSUMER_PHOTOS = 2  # of each item, beside the shop's
_IMBALANCE = 0.35
_CHUNK = 25
_GARMENTS, _ITEMS, _PEOPLE = 1, 2, 3  # streams of random numbers

Numbered = tuple[tuple[int, ...], Shot]  # a shot and the seed of its pose and frame
Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


def generate(
    folder: Path,
    *,
    seed: int,
    train: int,
    val: int,
    test: int,
    items: int,
    people: int,
    size: int,
    workers: int,
    progress: Progress = lambda work, _text, _count: work,
) -> dict[str, int]:
    """Write fld, category_attribute, in_shop, consumer_to_shop and lsp below ``folder``.

    The bytes depend on everything but ``workers``.

    Returns:
        How many images each holds.
    """
    shots: list[Numbered] = []
    for k, count in enumerate((train, val, test)):
        own = _plan((seed, _GARMENTS, k), count)
        shots += [((seed, _GARMENTS, k, i), shot) for i, shot in enumerate(own)]
    garments = len(shots)
    goods = _item_shots(seed, items)
    persons = [s for s in _plan((seed, _PEOPLE), 2 * people + 20) if not s.flat][:people]
    numbered = [((seed, _PEOPLE, i), shot) for i, shot in enumerate(persons)]
    work = ((photograph_garment, shots), (photograph_item, goods), (photograph_person, numbered))
    total = sum(len(part) for _, part in work)
    taken = list(progress(_take(work, size, workers), "synthesize_alignment", total))
    photos, crowd = taken[:garments], taken[garments + len(goods) :]
    pairs = taken[garments : garments + len(goods)]
    each = datasets.SHOP_PHOTOS + CONSUMER_PHOTOS
    by_item = [pairs[i : i + each] for i in range(0, len(pairs), each)]
    ends = np.cumsum([0, train, val, test])
    splits = {s: photos[a:b] for s, a, b in zip(SPLITS, ends[:-1], ends[1:], strict=True)}
    datasets.write_fld(folder / "fld", splits)
    datasets.write_category_attribute(folder / "category_attribute", splits)
    datasets.write_in_shop(folder / "in_shop", by_item)
    datasets.write_consumer_to_shop(folder / "consumer_to_shop", by_item)
    datasets.write_lsp(folder / "lsp", crowd)
    return {
        "fld": garments,
        "category_attribute": garments,
        "in_shop": items * datasets.SHOP_PHOTOS,
        "consumer_to_shop": items * each,
        "lsp": len(crowd),
    }


def _plan(key: tuple[int, ...], count: int) -> list[Shot]:
    """Shots of a plan of its own, apart from the 13-category wardrobe's of the same seed."""
    own = int(np.random.default_rng([*key, 23]).integers(1 << 31))
    return plan(own, "train", count, _IMBALANCE)


def _item_shots(seed: int, items: int) -> list[Numbered]:
    """For each item its shop's photos, then its consumers': one garment, posed and framed anew."""
    out: list[Numbered] = []
    pairs = _plan((seed, _ITEMS), 2 * items)
    for item in range(items):
        shop, user = pairs[2 * item : 2 * item + 2]
        for i in range(datasets.SHOP_PHOTOS + CONSUMER_PHOTOS):
            shot = shop if i < datasets.SHOP_PHOTOS else user
            out.append(((seed, _ITEMS, item, i), replace(shot, seed=(*shot.seed, i))))
    return out


def _take(
    work: Sequence[tuple[Callable[..., Any], Sequence[Numbered]]], size: int, workers: int
) -> Iterable[Any]:
    """Photos in the order of the shots, whoever takes them."""
    jobs = [
        partial(_work, take, shots[i : i + _CHUNK], size)
        for take, shots in work
        for i in range(0, len(shots), _CHUNK)
    ]
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield from job()
        return
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        for future in [pool.submit(job) for job in jobs]:
            yield from future.result()


def _work(take: Callable[..., Any], part: Sequence[Numbered], size: int) -> list[Any]:
    cv2.setNumThreads(1)
    return [take(shot, size, seed) for seed, shot in part]
