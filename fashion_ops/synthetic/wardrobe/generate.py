"""Write a wardrobe in DeepFashion2's layout: train/ and validation/ with image/ and annos/."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import orjson

from fashion_ops.catalog.origin_names import WARDROBE
from fashion_ops.params import Synthesize
from fashion_ops.synthetic.wardrobe.photos import Photos, describe, find_photos
from fashion_ops.synthetic.wardrobe.plan import Shot, plan
from fashion_ops.synthetic.wardrobe.render import photograph
from fashion_ops.synthetic.wardrobe.second import render as second
from fashion_ops.synthetic.wardrobe.second.plan import Snapshot
from fashion_ops.synthetic.wardrobe.second.plan import plan as second_plan

SPLITS: tuple[str, ...] = ("train", "validation")
_CHUNK = 40  # images of a job

T = TypeVar("T")


def encode_jpeg(pixels: np.ndarray, quality: int = 92) -> bytes:
    """A BGR uint8 image as JPEG.

    Raises:
        RuntimeError: OpenCV cannot encode it.
    """
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError(f"OpenCV could not write a JPEG of shape {pixels.shape}")
    return data.tobytes()


def run_in_order(jobs: Sequence[Callable[[], T]], workers: int) -> Iterator[T]:
    """Run jobs, here or in ``workers`` processes, and yield their results in the order of the jobs."""
    if workers <= 1 or len(jobs) <= 1:
        yield from (job() for job in jobs)
        return
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        yield from (future.result() for future in [pool.submit(job) for job in jobs])


def encode(shot: Shot, size: int, photos: Photos = Photos()) -> tuple[bytes, bytes, int]:  # noqa: B008
    """Draw a shot: the image as JPEG, its annotation as JSON, and the number of labelled garments.

    Args:
        shot: of the first edition, or a ``Snapshot`` of the second.
        size: longer side of the image, pixels.
        photos: the user's, for the second edition.

    Raises:
        RuntimeError: OpenCV cannot encode the image; the message names it.
        ValueError: a photo cannot be read.
    """
    if isinstance(shot, Snapshot):
        image = second.photograph(shot, size, photos)
    else:
        image = photograph(shot, size)
    items = sum(key.startswith("item") for key in image.annotation)
    try:
        return encode_jpeg(image.pixels, image.quality), orjson.dumps(image.annotation), items
    except RuntimeError as error:
        raise RuntimeError(f"{shot.split} image {shot.index + 1}: {error}") from error


def _write(folder: Path, shots: Sequence[Shot], size: int, photos: Photos) -> list[int]:
    """Write the images and annotations of some shots; returns the labelled garments of each."""
    cv2.setNumThreads(1)
    counts = []
    for shot in shots:
        image, annotation, items = encode(shot, size, photos)
        stem = f"{shot.index + 1:06d}"
        (folder / shot.split / "image" / f"{stem}.jpg").write_bytes(image)
        (folder / shot.split / "annos" / f"{stem}.json").write_bytes(annotation)
        counts.append(items)
    return counts


def generate(
    config: Synthesize,
    folder: Path,
    *,
    seed: int,
    workers: int = 1,
    root: Path = Path(),
) -> Iterator[tuple[str, int]]:
    """Write a wardrobe and yield (split, number of labelled garments) for each image.

    Args:
        config: number and size of the images, shares of the categories.
        folder: the wardrobe is written below it.
        seed: of everything that is drawn.
        workers: number of processes; the bytes do not depend on it.
        root: the folder from which the paths of the user's photos count, if they are relative.

    Raises:
        ValueError: a folder of photos is missing or empty, or a photo cannot be read.
    """
    photos = Photos(
        find_photos(root, config.backgrounds, "synthesize.backgrounds"),
        find_photos(root, config.fabrics, "synthesize.fabrics"),
    )
    counts = {"train": config.train, "validation": config.validation}
    jobs = []
    for split, count in counts.items():
        for sub in ("image", "annos"):
            (folder / split / sub).mkdir(parents=True)
        shots = (plan if config.edition == 1 else second_plan)(seed, split, count, config.imbalance)
        jobs += [
            partial(_write, folder, shots[i : i + _CHUNK], config.size, photos)
            for i in range(0, count, _CHUNK)
        ]
    garments = dict.fromkeys(SPLITS, 0)
    images = (split for split, count in counts.items() for _ in range(count))
    for split, items in zip(images, chain.from_iterable(run_in_order(jobs, workers)), strict=True):
        garments[split] += items
        yield split, items
    manifest = {
        "generator": "fashion_ops.catalog.wardrobe",
        **({"edition": config.edition} if config.edition > 1 else {}),
        "seed": seed,
        "size": config.size,
        "imbalance": config.imbalance,
        "splits": {
            split: {"images": count, "garments": garments[split]} for split, count in counts.items()
        },
    }
    if photos.backgrounds:
        manifest["backgrounds"] = describe(photos.backgrounds, root, config.backgrounds)
    if photos.fabrics:
        manifest["fabrics"] = describe(photos.fabrics, root, config.fabrics)
    (folder / WARDROBE).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2) + b"\n")
