"""Annotated photos for tests: every category, every visibility, several garments, none, odd names."""

import json
from functools import partial
from pathlib import Path

import numpy as np
from raw_data import jpeg

from fashion_ops.annotation.photos import AnnotatedPhoto, Scores
from fashion_ops.catalog.sources.base import Item, Labels
from fashion_ops.taxonomy import CATEGORIES, category

WIDTH, HEIGHT = 96, 128
SHAPES = [[10.5, 20.0, 55.25, 20.0, 55.0, 70.75], [12.0, 22.0, 20.0, 22.0, 20.0, 30.0]]


def landmarks(kind, rng):
    """Landmarks in the photo with all visibilities, fractions as float32 has them."""
    visibility = rng.permutation(np.arange(kind.num_landmarks) % 3)
    places = rng.uniform(0.5, (WIDTH - 1, HEIGHT - 1), (kind.num_landmarks, 2)).astype(np.float32)
    return [
        v
        for (x, y), s in zip(places.tolist(), visibility.tolist(), strict=True)
        for v in ((x, y, s) if s else (0, 0, 0))
    ]


def garment(name, rng, number=1, **changes):
    kind = category(name)
    facts = {"scale": 3, "occlusion": 2, "zoom_in": 1, "viewpoint": 2, "style": number}
    box = [2.25, 3.5, 90.125, 120.0]
    return Item(f"item{number}", kind.id, "", box, landmarks(kind, rng), SHAPES, **(facts | changes))


def photo(name, items, seed=0, **facts):
    """A photo that stands for ``name``; ``source`` and ``pair_id`` are of its labels."""
    labels = Labels(items, facts.pop("source", ""), facts.pop("pair_id", -1))
    load = partial(jpeg, width=WIDTH, height=HEIGHT, seed=seed)
    return AnnotatedPhoto(name, load, (WIDTH, HEIGHT), labels, **facts)


def everything():
    """One photo a category, one with three garments, a negative, names that are not ASCII."""
    rng = np.random.default_rng(0)
    photos = [
        photo(f"{c.id:06d}.jpg", [garment(c.name, rng)], c.id, source="shop", pair_id=c.id)
        for c in CATEGORIES
    ]
    several = [garment(n, rng, i) for i, n in enumerate(("skirt", "vest", "skirt"), 1)]
    empty = garment("sling", rng)
    empty = empty._replace(landmarks=[0] * len(empty.landmarks), polygons=[], style=0)
    return [
        *photos,
        photo("Größe 1/платье & <裙>.jpg", several, 20, source="user", pair_id=7),
        photo("negative.jpg", [], 21),
        photo("negative of a pair.jpg", [], 22, source="user", pair_id=0),
        photo("unlabelled points.jpg", [empty], 23, split="validation"),
    ]


def scored(found):
    """The photo as if a model had labelled it."""
    scores = tuple(
        Scores(0.75, tuple(round(0.01 * i, 2) for i in range(len(item.landmarks) // 3)))
        for item in found.labels.items
    )
    return AnnotatedPhoto(
        found.name, found.load, found.size, found.labels, found.split, scores, "models/7"
    )


def skirt(**changes):
    """A skirt with whole coordinates: the eight landmarks on a diagonal."""
    points = [v for i in range(8) for v in (10 + i, 20 + i, 1 + i % 2)]
    return Item("item1", 9, "", [8.0, 18.0, 30.0, 40.0], points, [])._replace(**changes)


def put_photo(path: Path, seed=0, width=WIDTH, height=HEIGHT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(width=width, height=height, seed=seed))


def put_json(path: Path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
