"""Speed of the detector's training input against CenterNet's published code, one run on two cores.

``python -m bench.detector_input [--size 256] [--images 192]``. Both sides read the same JPEG files
(sizes and bytes a pixel of DeepFashion2), draw the same random crops, flip, change colours, normalise
and make the targets of 62 groups, in batches of 32. The peer (``bench.published_input``) processes one
sample at a time with OpenCV and NumPy in two worker processes of a DataLoader. Ours reads in two such
processes (``distributed.loader_workers: 2``) and processes whole batches in the main process, as in
training. Network and optimizer are not measured.

The targets on the same crops are compared first; they must agree to 1e-4 (float32 cells), or the run
fails. Then the sides take turns, and the median round of each counts: wall time, and processor time
with workers, which other work on the machine disturbs less.
"""

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import torch
from torch.utils.data import DataLoader

from bench.published_input import PublishedInput
from fashion_ops.catalog.reader import decode_rgb
from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.centernet.data import Images, warp_images
from fashion_ops.methods.centernet.random_crop import RandomCrop
from fashion_ops.methods.centernet.targets import Targets, make_targets
from fashion_ops.methods.parts.augment import Warp, step_generator
from fashion_ops.methods.parts.color import normalize_changed
from fashion_ops.methods.parts.memory import keep_freed_memory
from fashion_ops.taxonomy import CATEGORIES, category, load_grouping

BATCH, ROUNDS, CORES = 32, 3, 2
GROUPING = load_grouping("semantic62")
# Width and height of the DeepFashion2 images that the data set's demo shows.
SIZES = (
    (468, 624), (468, 702), (468, 832), (640, 640), (640, 960), (750, 499), (750, 612), (750, 1125),
    (790, 793), (790, 1185), (800, 800), (880, 587), (880, 813), (880, 1173), (880, 1320),
)  # fmt: skip


def draw_image(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Large shapes under texture and grain; as JPEG about 0.14 bytes a pixel, like the photos."""
    image = np.zeros((height, width, 3))
    for cells, strength in ((4, 60), (24, 30), (120, 14)):
        coarse = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    image += rng.normal(0, 2.0, image.shape)
    return np.clip(image + 128, 0, 255).astype(np.uint8)


def make_labels(sizes: np.ndarray, rng: np.random.Generator) -> list:
    """Labels of one to three garments an image, with DeepFashion2's category shares."""
    shares = np.array([c.train_count for c in CATEGORIES], float)
    labels = []
    for width, height in sizes:
        garments = []
        for kind in 1 + rng.choice(
            13, rng.choice([1, 2, 3], p=(0.5, 0.4, 0.1)), p=shares / shares.sum()
        ):
            low, extent = rng.uniform(0, 0.4, 2), rng.uniform(0.3, 0.6, 2)
            box = np.concatenate([low, low + extent]) * (width, height, width, height)
            n = category(int(kind)).num_landmarks
            points = rng.uniform(box[:2], box[2:], (n, 2))
            visible = rng.choice(3, (n, 1), p=(0.1, 0.25, 0.65))
            grouped = GROUPING.group(int(kind), np.concatenate([points, visible], 1).astype(np.float32))
            garments.append((int(kind), box.astype(np.float32), grouped))
        labels.append(garments)
    return labels


def as_garments(labels: list) -> TrainingGarments:
    """The same labels as arrays."""
    rows = [(i, *garment) for i, garments in enumerate(labels) for garment in garments]
    image, kind, boxes, landmarks = (np.array(column) for column in zip(*rows, strict=True))
    return TrainingGarments(image, kind, boxes, landmarks, np.zeros((len(rows), 0), np.float32))


def our_batch(batch: dict[str, torch.Tensor], step: int, vary: bool) -> tuple[torch.Tensor, Targets]:
    """The work of ``CenterNetModule.losses`` before the network."""
    generator = step_generator(0, step, torch.device("cpu"))
    mirror = torch.from_numpy(GROUPING.mirror())
    warp = Warp(flip=0.5 if vary else 0.0)
    pixels, boxes, landmarks = warp_images(batch, mirror, warp, generator)
    targets = make_targets(boxes, batch["category"], landmarks, pixels.shape[-1], "published")
    pixels = normalize_changed(pixels, 0.4 * vary, 0.1 * vary, generator)
    return pixels.contiguous(memory_format=torch.channels_last), targets


def cpu_seconds() -> float:
    """Processor time of this process and its workers so far."""
    this = psutil.Process()
    times = [p.cpu_times() for p in (this, *this.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def largest_difference(theirs: dict[str, torch.Tensor], ours: Targets) -> float:
    """Largest difference over heatmaps and regression targets, in cells."""
    real, points = theirs["reg_mask"] > 0, theirs["hp_mask"] > 0
    side = ours.hm.shape[-1]
    image = torch.arange(len(real))[:, None] * side * side
    used = theirs["hps_mask"][real] > 0
    pairs = [
        (theirs["hm"], ours.hm), (theirs["hm_hp"], ours.hm_hp),
        (theirs["wh"][real], ours.wh), (theirs["reg"][real], ours.reg),
        ((theirs["ind"] + image)[real], ours.centers),
        ((theirs["hp_ind"] + image)[points], ours.points),
        (theirs["hps"][real][used], ours.hps.flatten(1)[ours.hps_mask.repeat_interleave(2, 1)]),
        (theirs["hp_offset"][points], ours.hp_offset),
    ]  # fmt: skip
    return max(float((a - b).abs().max()) for a, b in pairs)


def main() -> None:
    """Write the images, compare the targets, time both, print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="side of the input, pixels")
    parser.add_argument("--images", type=int, default=192, help="number of images, a multiple of 32")
    args = parser.parse_args()
    keep_freed_memory()  # as in training; the peer's processes inherit it
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        sizes = np.array(SIZES)[rng.integers(0, len(SIZES), args.images)]
        paths = [Path(folder) / f"{i:06}.jpg" for i in range(args.images)]
        for path, (width, height) in zip(paths, sizes, strict=True):
            cv2.imwrite(str(path), draw_image(width, height, rng), [cv2.IMWRITE_JPEG_QUALITY, 88])
        size = sum(p.stat().st_size for p in paths) / sizes.prod(1).sum()
        print(f"{args.images} images, {size:.2f} bytes a pixel, input {args.size}, 62 groups")
        labels, crop = make_labels(sizes, rng), RandomCrop(sizes, seed=0)
        images = Images(
            np.arange(args.images),
            as_garments(labels),
            lambda i, shrink: decode_rgb(paths[i].read_bytes(), paths[i].name, shrink=shrink),
            args.size,
            crop,
        )

        def peer(workers: int, vary: bool = True) -> DataLoader:
            data = PublishedInput(paths, labels, crop, GROUPING.mirror(), args.size, vary)
            return DataLoader(data, BATCH, num_workers=workers, persistent_workers=workers > 0)

        first = next(iter(peer(0, vary=False)))
        our_first = our_batch(images.__getitems__(list(range(BATCH))), 0, False)[1]
        difference = largest_difference(first, our_first)
        print(f"largest difference of the targets: {difference:.1e}")
        if difference > 1e-4:
            raise SystemExit("the targets differ")

        reader = DataLoader(
            images, BATCH, collate_fn=lambda b: b, num_workers=CORES, persistent_workers=True
        )

        def ours() -> None:
            for step, batch in enumerate(reader):
                our_batch(batch, step, True)

        def drain(loader: DataLoader) -> None:
            for _ in loader:
                pass

        both, one = peer(CORES), peer(0)
        sides = {
            "published, 2 processes": lambda: drain(both),
            "published, 1 process": lambda: drain(one),
            "ours, 2 processes": ours,
        }
        rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for round_ in range(ROUNDS + 1):
            for name, run in sides.items():
                start, cpu = time.perf_counter(), cpu_seconds()
                run()
                if round_:  # the first one warms up
                    rounds[name].append((time.perf_counter() - start, cpu_seconds() - cpu))
        median = {name: np.median(values, axis=0) for name, values in rounds.items()}
        for name, (wall, cpu) in median.items():
            each = 1000 * cpu / args.images
            print(f"{name:24} {args.images / wall:7.1f} images/s, {each:5.2f} ms of a core each")
        ours_median = median.pop("ours, 2 processes")
        for name, theirs in median.items():
            wall, cpu = theirs / ours_median
            print(f"ratio against {name}: {wall:.1f}x by the clock, {cpu:.1f}x by processor time")


if __name__ == "__main__":
    main()
