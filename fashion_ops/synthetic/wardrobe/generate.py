"""Write a wardrobe in DeepFashion2's layout: train/ and validation/ with image/ and annos/."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import orjson

from fashion_ops.params import Synthesize
from fashion_ops.synthetic.wardrobe.plan import Shot, plan
from fashion_ops.synthetic.wardrobe.render import photograph

SPLITS: tuple[str, ...] = ("train", "validation")
_QUALITY = 92
_CHUNK = 40


def encode(shot: Shot, size: int) -> tuple[bytes, bytes, int]:
    """Draw a shot: the image as JPEG, its annotation as JSON, and the number of labelled garments.

    Raises:
        RuntimeError: OpenCV cannot encode the JPEG.
    """
    image = photograph(shot, size)
    done, data = cv2.imencode(".jpg", image.pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise RuntimeError(f"{shot.split} {shot.index + 1:06d}: OpenCV could not write a JPEG")
    items = sum(key.startswith("item") for key in image.annotation)
    return data.tobytes(), orjson.dumps(image.annotation), items


def _write(folder: Path, shots: list[Shot], size: int) -> list[int]:
    cv2.setNumThreads(1)
    counts = []
    for shot in shots:
        image, annotation, items = encode(shot, size)
        stem = f"{shot.index + 1:06d}"
        (folder / shot.split / "image" / f"{stem}.jpg").write_bytes(image)
        (folder / shot.split / "annos" / f"{stem}.json").write_bytes(annotation)
        counts.append(items)
    return counts


def generate(
    config: Synthesize, folder: Path, *, seed: int, workers: int = 1
) -> Iterator[tuple[str, int]]:
    """Write a wardrobe and yield (split, number of labelled garments) for each image.

    Args:
        config: number and size of the images, shares of the categories.
        folder: the wardrobe is written below it.
        seed: of everything that is drawn.
        workers: number of processes; the bytes do not depend on it.
    """
    counts = {"train": config.train, "validation": config.validation}
    jobs: list[tuple[str, list[Shot]]] = []
    for split, count in counts.items():
        for sub in ("image", "annos"):
            (folder / split / sub).mkdir(parents=True)
        shots = plan(seed, split, count, config.imbalance)
        jobs += [(split, shots[i : i + _CHUNK]) for i in range(0, count, _CHUNK)]
    garments = dict.fromkeys(SPLITS, 0)
    for split, written in _run(folder, jobs, config.size, workers):
        for items in written:
            garments[split] += items
            yield split, items
    manifest = {
        "generator": "fashion_ops.catalog.wardrobe",
        "seed": seed,
        "size": config.size,
        "imbalance": config.imbalance,
        "splits": {
            split: {"images": count, "garments": garments[split]} for split, count in counts.items()
        },
    }
    (folder / "wardrobe.json").write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2) + b"\n")


def _run(
    folder: Path, jobs: list[tuple[str, list[Shot]]], size: int, workers: int
) -> Iterator[tuple[str, list[int]]]:
    """Write the shots of each job, here or in processes; yields split and garments in order."""
    if workers <= 1 or len(jobs) <= 1:
        for split, shots in jobs:
            yield split, _write(folder, shots, size)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        futures = [(split, pool.submit(_write, folder, shots, size)) for split, shots in jobs]
        for split, future in futures:
            yield split, future.result()
