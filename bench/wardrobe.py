"""Speed of the wardrobe's second edition beside the first, and how its images compare with photographs.

    python -m bench.wardrobe [--images 400] [--size 256] [--workers 2] [--photos FOLDER]

The editions take turns image by image in one process, which cancels what else the machine does; the
ratio is that of their processor times. Then each draws a whole wardrobe with several processes. The
last lines are shares of the labels: garments cut by the border, landmarks that are visible.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from fashion_ops.params import Synthesize
from fashion_ops.synthetic.wardrobe.generate import encode, generate
from fashion_ops.synthetic.wardrobe.photos import Photos, find_photos
from fashion_ops.synthetic.wardrobe.plan import Shot, plan
from fashion_ops.synthetic.wardrobe.render import Image, photograph
from fashion_ops.synthetic.wardrobe.second import render as second
from fashion_ops.synthetic.wardrobe.second.plan import Snapshot
from fashion_ops.synthetic.wardrobe.second.plan import plan as second_plan

_WARM_UP = 60  # images of each edition before the clock starts


def compare(images: int, size: int, photos: Photos) -> None:
    """Print images a second of one core for both editions, drawn in turn."""
    first, other = plan(0, "train", images, 0.35), second_plan(0, "train", images, 0.35)
    for shot in (*first[:_WARM_UP], *other[:_WARM_UP]):
        encode(shot, size, photos)
    times = [0.0, 0.0]
    for pair in zip(first, other, strict=True):
        for number, shot in enumerate(pair):
            start = time.process_time()
            encode(shot, size, photos)
            times[number] += time.process_time() - start
    speeds = [images / seconds for seconds in times]
    print(
        f"one core, in turn   edition 1 {speeds[0]:6.1f} images/s   edition 2 {speeds[1]:6.1f} images/s"
    )
    print(f"speed of edition 2 / edition 1: {speeds[1] / speeds[0]:.3f}")


def whole(edition: int, images: int, size: int, workers: int, photos: str | None) -> float:
    """Images a second of ``generate``, with the start of its processes and the files."""
    config = Synthesize(train=images, validation=0, size=size)
    if edition == 2:
        config = Synthesize(
            train=images, validation=0, size=size, edition=2, backgrounds=photos, fabrics=photos
        )
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        list(generate(config, Path(folder) / "wardrobe", seed=0, workers=workers))
        return images / (time.perf_counter() - start)


def draw(shot: Shot, size: int) -> Image:
    """An image of either edition."""
    return second.photograph(shot, size) if isinstance(shot, Snapshot) else photograph(shot, size)


def describe(label: str, shots: list[Shot], size: int) -> None:
    """Print shares of the labels of some shots."""
    cut = garments = labelled = visible = landmarks = 0
    boxes: list[float] = []
    for shot in shots:
        image = draw(shot, size)
        height, width = image.pixels.shape[:2]
        for item in (v for k, v in image.annotation.items() if k.startswith("item")):
            x1, y1, x2, y2 = item["bounding_box"]
            codes = np.array(item["landmarks"]).reshape(-1, 3)[:, 2]
            garments += 1
            cut += x1 <= 1 or y1 <= 1 or x2 >= width - 2 or y2 >= height - 2
            labelled, visible = labelled + int((codes > 0).sum()), visible + int((codes == 2).sum())
            landmarks += len(codes)
            boxes.append((x2 - x1) * (y2 - y1) / width / height)
    low, middle, high = np.percentile(boxes, [10, 50, 90])
    print(
        f"{label}: {garments} garments, {cut / garments:.2f} touch the border; of the landmarks "
        f"{visible / landmarks:.2f} visible, {1 - labelled / landmarks:.2f} out of the image; box's "
        f"share of the image {low:.2f} / {middle:.2f} / {high:.2f} (10th, 50th, 90th percentile)"
    )


def main() -> None:
    """Compare both editions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--photos", help="folder for backgrounds and fabrics of edition 2")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    found = find_photos(Path(), given.photos, "--photos")
    compare(given.images, given.size, Photos(found, found))
    for edition in (1, 2):
        speed = whole(edition, given.images, given.size, given.workers, given.photos)
        print(
            f"{given.workers} processes with start and files   edition {edition} {speed:6.1f} images/s"
        )
    first = plan(0, "train", given.images, 0.35)
    other = second_plan(0, "train", given.images, 0.35)
    print("edition 2 shows", dict(Counter(shot.setting for shot in other)))
    describe("edition 1", list(first), given.size)
    describe("edition 2", list(other), given.size)


if __name__ == "__main__":
    main()
