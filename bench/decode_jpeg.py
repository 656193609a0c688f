"""Decoding whole JPEGs to RGB: OpenCV with a turn of the channels, OpenCV to RGB, torchvision.

    python -m bench.decode_jpeg [--photos FOLDER] [--count 40] [--repeats 6]

Without a folder the photos are the wardrobe's, 512 and 1024 pixels wide. The decoders take turns on a
photo, in one thread; the shortest of the repeats counts, and the ratio is the median over the photos.
The pixels are compared. tests/catalog/test_jpeg_kinds.py compares what is not whole or not ordinary.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision.io import ImageReadMode, decode_jpeg

from fashion_ops.synthetic.wardrobe.generate import encode
from fashion_ops.synthetic.wardrobe.plan import plan


def turned(data: bytes) -> np.ndarray:
    """OpenCV's blue, green, red, then the channels turned round."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), flags), cv2.COLOR_BGR2RGB)


def direct(data: bytes) -> np.ndarray:
    """OpenCV, whose decoder writes red, green, blue."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)


def torchvision(data: bytes) -> np.ndarray:
    """torchvision; its tensor is a view of (H, W, 3)."""
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    return decode_jpeg(encoded, ImageReadMode.RGB).permute(1, 2, 0).numpy()


DECODERS: dict[str, Callable[[bytes], np.ndarray]] = {
    "OpenCV, channels turned": turned,
    "OpenCV to RGB": direct,
    "torchvision": torchvision,
}


def compare(name: str, photos: list[bytes], repeats: int) -> None:
    """Time the decoders on photos and print a line for each."""
    times: dict[str, list[list[float]]] = {label: [[] for _ in photos] for label in DECODERS}
    for number in range(repeats + 1):  # the first time warms up
        for index, data in enumerate(photos):
            order = list(DECODERS)
            first = (number + index) % len(order)
            for label in order[first:] + order[:first]:
                start = time.perf_counter()
                DECODERS[label](data)
                if number:
                    times[label][index].append(time.perf_counter() - start)
    least = {label: [min(of_photo) for of_photo in rows] for label, rows in times.items()}
    base = least["OpenCV, channels turned"]
    for label, decode in DECODERS.items():
        ratio = statistics.median(b / s for b, s in zip(base, least[label], strict=True))
        equal = sum(np.array_equal(decode(data), turned(data)) for data in photos)
        milliseconds = 1000 * statistics.mean(least[label])
        print(
            f"{name}: {label}: {milliseconds:.2f} ms a photo, {ratio:.2f}x, "
            f"equal pixels {equal} of {len(photos)}",
            flush=True,
        )


def main() -> None:
    """Compare on a folder of photos, or on the wardrobe's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=6)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if args.photos:
        paths = sorted(args.photos.rglob("*.jpg"))[: args.count]
        compare(str(args.photos), [path.read_bytes() for path in paths], args.repeats)
        return
    for width in (512, 1024):
        shots = plan(0, "validation", args.count, 0.35)
        compare(f"wardrobe, {width} pixels", [encode(s, width)[0] for s in shots], args.repeats)


if __name__ == "__main__":
    main()
