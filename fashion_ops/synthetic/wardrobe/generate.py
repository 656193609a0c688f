"""Write a whole wardrobe: train/ and validation/ with image/ and annos/, as DeepFashion2 has them."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import orjson

from fashion_ops.synthetic.wardrobe.plan import Shot, plan
from fashion_ops.synthetic.wardrobe.render import photograph

SPLITS: tuple[str, ...] = ("train", "validation")
_QUALITY = 92
_CHUNK = 40


def encode(shot: Shot, size: int) -> tuple[bytes, bytes, int]:
    """An image as JPEG, its annotation as JSON, and how many garments it holds."""
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
    folder: Path,
    *,
    seed: int,
    train: int,
    validation: int,
    size: int,
    imbalance: float,
    workers: int = 1,
) -> Iterator[tuple[str, int]]:
    """Write the wardrobe below ``folder``, yielding (split, number of garments) for each image.

    The bytes depend on everything but ``workers``.
    """
    jobs: list[tuple[str, list[Shot]]] = []
    for split, count in zip(SPLITS, (train, validation), strict=True):
        for sub in ("image", "annos"):
            (folder / split / sub).mkdir(parents=True)
        shots = plan(seed, split, count, imbalance)
        jobs += [(split, shots[i : i + _CHUNK]) for i in range(0, count, _CHUNK)]
    garments = dict.fromkeys(SPLITS, 0)
    for split, counts in _run(folder, jobs, size, workers):
        for items in counts:
            garments[split] += items
            yield split, items
    manifest = {
        "generator": "fashion_ops.catalog.wardrobe",
        "seed": seed,
        "size": size,
        "imbalance": imbalance,
        "splits": {
            split: {"images": count, "garments": garments[split]}
            for split, count in zip(SPLITS, (train, validation), strict=True)
        },
    }
    (folder / "wardrobe.json").write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2) + b"\n")


def _run(
    folder: Path, jobs: list[tuple[str, list[Shot]]], size: int, workers: int
) -> Iterator[tuple[str, list[int]]]:
    """Do the jobs, here or in processes, and yield their results in order."""
    if workers <= 1 or len(jobs) <= 1:
        for split, shots in jobs:
            yield split, _write(folder, shots, size)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        futures = [(split, pool.submit(_write, folder, shots, size)) for split, shots in jobs]
        for split, future in futures:
            yield split, future.result()
