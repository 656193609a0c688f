"""Speed of the wardrobe's second edition beside the first, and how its images compare with photographs.

    python -m bench.wardrobe [--images 400] [--size 256] [--workers 2] [--photos FOLDER] [--labels FILE]

The editions take turns image by image in one process, which cancels what else the machine does; the
ratio is that of their processor times. Then each draws a whole wardrobe with several processes. The
last lines are shares of the labels: garments cut by the border, landmarks that are visible; also those
of a COCO file of photographs, as DeepFashion2's converter writes it, if ``--labels`` names one.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import orjson

from fashion_ops.params import Synthesize
from fashion_ops.synthetic.wardrobe.generate import encode, generate
from fashion_ops.synthetic.wardrobe.photos import Photos, find_photos
from fashion_ops.synthetic.wardrobe.plan import Shot, plan
from fashion_ops.synthetic.wardrobe.render import Image, photograph
from fashion_ops.synthetic.wardrobe.second import render as second
from fashion_ops.synthetic.wardrobe.second.plan import Snapshot
from fashion_ops.synthetic.wardrobe.second.plan import plan as second_plan
from fashion_ops.taxonomy import category

# shape (height, width) of an image, and of each garment the box and the landmarks' visibility codes
Labels = tuple[tuple[int, int], list[tuple[np.ndarray, np.ndarray]]]
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


@dataclass(frozen=True)
class Shares:
    """What the labels of some images say about their framing.

    Attributes:
        garments: number of labelled garments.
        cut: share of them whose box is nearer to the border than 1/128 of the image's longer side.
        visible: share of the visible among a garment's labelled landmarks, mean over garments.
        unlabelled: share of the landmarks of all garments that lie out of the image.
        portraits: share of the images that are higher than wide.
        squares: share of the images that are square, within 2 %.
        boxes: 10th, 50th and 90th percentile of the share of the image that a box takes.
    """

    garments: int
    cut: float
    visible: float
    unlabelled: float
    portraits: float
    squares: float
    boxes: tuple[float, float, float]


def measure(images: Iterable[Labels]) -> Shares:
    """Measure labels of the wardrobe or of photographs.

    Args:
        images: for each image its shape (height, width) and its garments: box (4,) x1, y1, x2, y2 in
            pixels, and visibility codes (n,) of the category's landmarks (0 unlabelled, 2 visible).
    """
    cut, visible, landmarks, labelled, boxes, ratios = [], [], 0, 0, [], []
    for (height, width), garments in images:
        ratios.append(height / width)
        for (x1, y1, x2, y2), codes in garments:
            near = max(height, width) / 128
            cut.append(min(x1, y1, width - 1 - x2, height - 1 - y2) < near)
            known = int((codes > 0).sum())
            landmarks, labelled = landmarks + len(codes), labelled + known
            if known:
                visible.append(int((codes == 2).sum()) / known)
            boxes.append((x2 - x1) * (y2 - y1) / width / height)
    low, middle, high = (float(v) for v in np.percentile(boxes, [10, 50, 90]))
    return Shares(
        garments=len(cut),
        cut=float(np.mean(cut)),
        visible=float(np.mean(visible)),
        unlabelled=1 - labelled / landmarks,
        portraits=float(np.mean(np.array(ratios) > 1.02)),
        squares=float(np.mean(np.abs(np.log(ratios)) < 0.02)),
        boxes=(low, middle, high),
    )


def labels_of(shots: Iterable[Shot], size: int) -> Iterator[Labels]:
    """Draw shots and yield what ``measure`` takes."""
    for shot in shots:
        image = draw(shot, size)
        height, width = image.pixels.shape[:2]
        items = (v for k, v in image.annotation.items() if k.startswith("item"))
        yield (
            (height, width),
            [
                (np.array(i["bounding_box"]), np.array(i["landmarks"]).reshape(-1, 3)[:, 2])
                for i in items
            ],
        )


def labels_in(path: Path) -> Iterator[Labels]:
    """Read a COCO file of DeepFashion2's converter and yield what ``measure`` takes."""
    data = orjson.loads(path.read_bytes())
    garments: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {i["id"]: [] for i in data["images"]}
    for annotation in data["annotations"]:
        x, y, width, height = annotation["bbox"]
        slots = category(annotation["category_id"]).slots
        codes = np.array(annotation["keypoints"]).reshape(-1, 3)[slots, 2]
        box = np.array([x, y, x + width, y + height])
        garments[annotation["image_id"]].append((box, codes))
    for image in data["images"]:
        yield (image["height"], image["width"]), garments[image["id"]]


def describe(label: str, images: Iterable[Labels]) -> None:
    """Print shares of the labels of some images."""
    shares = measure(images)
    print(
        f"{label}: {shares.garments} garments, {shares.cut:.2f} touch the border; of the landmarks "
        f"{shares.visible:.2f} visible, {shares.unlabelled:.2f} out of the image; "
        f"{shares.portraits:.2f} of the images upright, {shares.squares:.2f} square; box's share of "
        "the image {:.2f} / {:.2f} / {:.2f} (10th, 50th, 90th percentile)".format(*shares.boxes)
    )


def main() -> None:
    """Compare both editions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--photos", help="folder for backgrounds and fabrics of edition 2")
    parser.add_argument("--labels", type=Path, help="COCO file of photographs, to compare")
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
    describe("edition 1", labels_of(first, given.size))
    describe("edition 2", labels_of(other, given.size))
    worn = [shot for shot in other if shot.setting == "worn"]
    describe("edition 2, worn", labels_of(worn, given.size))
    if given.labels:
        describe(str(given.labels), labels_in(given.labels))


if __name__ == "__main__":
    main()
