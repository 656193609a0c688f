"""Decoding speed: ``methods.centernet`` on a batch against the published code, same maps, one run.

``python -m bench.decode [--batch 16] [--repeats 5]``. Maps are 64x64 (a 256-px input) with 3 to 5
garments an image, rendered like the detector's targets with noise and false peaks, for 62 and 294
landmark groups. The published decode is timed first, then all four techniques. The clock covers
everything from maps to garments in image pixels: techniques, decoding, transform to the image, NMS.
Both sides must give the same garments, or the run fails. The peer is ``bench.published_decode``.

The last line has the share of post-processing in the time of one 256x256 image through mDLA-34 with 62
groups, fp32, torch on this CPU (DeepMark++: 4.1 %).
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bench.published_decode import garments_of
from fashion_ops.methods.centernet.decode import decode, grouping_slots
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.centernet.nms import nms
from fashion_ops.methods.centernet.targets import make_targets
from fashion_ops.params import PostProcess
from fashion_ops.taxonomy import CATEGORIES, Grouping, load_grouping

SIDE, THRESHOLD = 256, 0.05
ALL = PostProcess(flip=False)
PLAIN = PostProcess(smooth=False, mask=False, blend=False, rescore=False, flip=False)
MATRIX = np.array([[2.5, 0, -120.0], [0, 2.5, 30.0]], np.float32)  # input to image

Maps = dict[str, torch.Tensor]


def make_maps(batch: int, grouping: Grouping) -> Maps:
    """Heatmaps after the sigmoid, and regressions, of a detector on images with 3 to 5 garments.

    The demo's detector has 0.3 false peaks above the threshold on a centre map, 2.5 on a landmark map.
    """
    rng = np.random.default_rng(0)
    k, cells, most = grouping.num_groups, SIDE // 4, 5
    boxes, kinds = np.zeros((batch, most, 4)), np.zeros((batch, most), int)
    landmarks = np.zeros((batch, most, k, 3))
    for b in range(batch):
        for m in range(rng.integers(3, most + 1)):
            kinds[b, m] = rng.integers(1, len(CATEGORIES) + 1)
            size = rng.uniform(50, 170, 2)
            corner = rng.uniform(0, SIDE - size)
            boxes[b, m] = [*corner, *(corner + size)]
            channels = grouping.channels(int(kinds[b, m]))
            landmarks[b, m, channels, :2] = corner + rng.random((len(channels), 2)) * size
            landmarks[b, m, channels, 2] = 2
    targets = make_targets(
        *(torch.from_numpy(a) for a in (boxes.astype(np.float32), kinds, landmarks.astype(np.float32))),
        SIDE,
        "published",
        center_reach=1,
    )

    def heat(perfect: torch.Tensor, false_peaks: float) -> torch.Tensor:
        shape = perfect.shape
        height = rng.uniform(0.4, 0.95, (*shape[:2], 1, 1)) * rng.uniform(0.97, 1, shape)
        noise = 0.02 * rng.random(shape) ** 4
        false = rng.random(shape) < false_peaks / cells**2
        noise[false] = rng.uniform(0.05, 0.25, false.sum())
        return (
            (perfect * torch.from_numpy(height)).maximum(torch.from_numpy(noise)).float().contiguous()
        )

    def dense(where: torch.Tensor, values: torch.Tensor, spread: float) -> torch.Tensor:
        out = torch.from_numpy(rng.normal(0, spread, (batch * cells * cells, values.shape[1]))).float()
        out[where] = values + torch.from_numpy(rng.normal(0, 0.05 * spread, values.shape)).float()
        return out.view(batch, cells, cells, -1).permute(0, 3, 1, 2).contiguous()

    return {
        "hm": heat(targets.hm, 0.4),
        "hm_hp": heat(targets.hm_hp, 2.5),
        "wh": dense(targets.centers, targets.wh, 6.0).abs(),
        "reg": dense(targets.centers, targets.reg, 0.3),
        "hps": dense(targets.centers, targets.hps.flatten(1), 6.0),
        "hp_offset": dense(targets.points, targets.hp_offset, 0.3),
    }


def ours(maps: Maps, slots: torch.Tensor, post: PostProcess) -> list[list[dict[str, Any]]]:
    """Garments of each image, decoded as in ``Detector.detect``."""
    decoded = decode(maps, slots, post, THRESHOLD)
    linear, shift = torch.from_numpy(MATRIX[:, :2]).T, torch.from_numpy(MATRIX[:, 2])
    boxes = (decoded.boxes.unflatten(-1, (2, 2)) @ linear + shift).flatten(-2)
    landmarks = decoded.landmarks.clone()
    landmarks[..., :2] = decoded.landmarks[..., :2] @ linear + shift
    out = []
    for n in range(len(boxes)):
        kept, scores = nms(boxes[n], decoded.scores[n], decoded.category[n], post)
        kept, scores = kept[scores >= THRESHOLD], scores[scores >= THRESHOLD]
        columns = (decoded.category[n, kept].tolist(), scores.tolist(), boxes[n, kept].numpy())
        out.append(
            [
                {"category": c, "score": s, "box": box, "landmarks": points}
                for c, s, box, points in zip(*columns, landmarks[n, kept].numpy(), strict=True)
            ]
        )
    return out


def published(
    maps: Maps, channels: list[np.ndarray], post: PostProcess, early: bool
) -> list[list[dict[str, Any]]]:
    """The same by the peer, image by image."""
    return [
        garments_of(
            {k: v[n : n + 1] for k, v in maps.items()}, channels, MATRIX, post, THRESHOLD, early
        )
        for n in range(len(maps["hm"]))
    ]


def compare(ours: list[list[dict[str, Any]]], theirs: list[list[dict[str, Any]]]) -> int:
    """The number of garments.

    Raises:
        SystemExit: the garments differ.
    """
    for a, b in zip(ours, theirs, strict=True):
        if [g["category"] for g in a] != [g["category"] for g in b]:
            raise SystemExit("the garments differ")
        for one, other in zip(a, b, strict=True):
            points = one["landmarks"][: len(other["landmarks"])]
            scored = other["landmarks"][:, 2] > 1e-30  # below, float32 may round a mask to nothing
            if (
                abs(one["score"] - other["score"]) > 1e-4
                or np.abs(one["box"] - other["box"]).max() > 1e-2
                or np.abs(points - other["landmarks"])[scored].max(initial=0) > 1e-2
            ):
                raise SystemExit(f"a garment differs: box {one['box']}, by the peer {other['box']}")
    return sum(map(len, ours))


def seconds(run: Callable[[], Any], repeats: int) -> float:
    """Median time of several calls, after one that is not counted."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    """Time both, compare the garments, print the ratios and the share of post-processing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, default=16, help="images")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs; the median counts")
    arguments = parser.parse_args()
    print(
        f"batch of {arguments.batch}, maps of {SIDE // 4}x{SIDE // 4}, "
        f"{torch.get_num_threads()} threads"
    )
    for name in ("semantic62", "none"):
        grouping = load_grouping(name)
        slots, channels = grouping_slots(grouping), [grouping.channels(c.id) for c in CATEGORIES]
        maps = make_maps(arguments.batch, grouping)
        for label, post in (("published decode", PLAIN), ("with all techniques", ALL)):
            garments = compare(ours(maps, slots, post), published(maps, channels, post, early=True))
            fast = seconds(lambda p=post, m=maps, s=slots: ours(m, s, p), arguments.repeats)
            prompt, slow = (
                seconds(lambda p=post, m=maps, c=channels, e=early: published(m, c, p, e), 1)
                for early in (True, False)
            )
            print(
                f"{grouping.num_groups:3} groups, {label:19}: {garments} garments, fashion-ops "
                f"{1000 * fast:6.1f} ms, published {1000 * slow:6.1f} ms, ratio {slow / fast:.1f}x "
                f"(threshold first: {1000 * prompt:.1f} ms, {prompt / fast:.1f}x)"
            )
    grouping = load_grouping("semantic62")
    slots, maps = grouping_slots(grouping), make_maps(1, grouping)
    network = CenterNet("mdla34", grouping.num_groups).eval().to(memory_format=torch.channels_last)
    pixels = torch.rand(1, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        forward = seconds(lambda: network(pixels), arguments.repeats)
        after = seconds(lambda: ours(maps, slots, ALL), 4 * arguments.repeats)
    print(
        f"one image: mDLA-34 {1000 * forward:.1f} ms, techniques and decode {1000 * after:.2f} ms, "
        f"share {after / (forward + after):.1%}"
    )


if __name__ == "__main__":
    main()
