"""A quick stand-in for the models of a bulk run, and a bulk run with it in a process of its own.

The process imports neither torch nor Ray, so that killing it ten times costs seconds.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from fashion_ops.inference.bulk.blocks import Block, BlockPredictor
from fashion_ops.inference.bulk.manifest import Identity
from fashion_ops.inference.bulk.reading import PhotoReader
from fashion_ops.inference.bulk.run import bulk_run
from fashion_ops.methods.centernet.deploy.photo import Photo, decode_reduced
from fashion_ops.taxonomy import category


class MeanPredictor:
    """Finds a skirt in every photo: score and landmarks follow from the mean of its pixels.

    A photo that is all black makes it raise.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.calls: list[int] = []  # photos of each

    def decode(self, data: bytes, name: str) -> Photo:
        return decode_reduced(data, name)

    def predict_many(self, photos: Sequence[Photo], min_score: float) -> list[list[Any]]:
        time.sleep(self.seconds)
        self.calls.append(len(photos))
        return [self._garments(photo, min_score) for photo in photos]

    def _garments(self, photo: Photo, min_score: float) -> list[Any]:
        mean = float(photo.pixels.mean())
        if mean == 0:
            raise RuntimeError("a black photo")
        if mean / 255 < min_score:
            return []
        names = category("skirt").landmark_names
        points = {name: (mean + i, mean - i, mean / 255) for i, name in enumerate(names)}
        return [
            SimpleNamespace(
                category="skirt",
                score=mean / 255,
                box=(0.0, 0.0, mean, mean),
                landmarks=points,
                deviations={},
                clothes_type=None,
                visibility=None,
            )
        ]


def write_photos(folder: Path, number: int, size: int = 12) -> list[Path]:
    """Write photos of one grey each, no two alike in their neighbourhood."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{n:06d}.png" for n in range(number)]
    for n, path in enumerate(paths):
        data = cv2.imencode(".png", np.full((size, size, 3), 1 + n % 255, np.uint8))[1]
        path.write_bytes(data.tobytes())
    return paths


def predict_here(
    folder: Path, sources: Sequence[str], predictor: MeanPredictor | None = None, **changes: Any
) -> list[str]:
    """A bulk run in this process; returns the names of the blocks that it computed."""
    computed: list[str] = []
    settings = {"--min-score": changes.pop("min_score", 0.0)}
    identity = Identity(
        list(sources), **{"model": "mean", "digest": "1", "settings": settings} | changes
    )
    predict = BlockPredictor(predictor or MeanPredictor(), PhotoReader(), settings["--min-score"], 8)

    def compute(blocks: Iterator[tuple[str, Block]]) -> Iterator[tuple[str, bytes]]:
        for name, block in blocks:
            computed.append(name)
            yield name, predict(block)

    with bulk_run(folder, identity) as run:
        run.compute(compute, lambda _: None)
        run.finish(coco=False)
    return computed


def table(folder: Path) -> Any:
    """The rows of a bulk run in ``folder``, as a data frame."""
    import pandas as pd

    return pd.read_parquet(folder / "photos")


if __name__ == "__main__":
    predict_here(Path(sys.argv[1]), sys.argv[2:], MeanPredictor(0.002))
