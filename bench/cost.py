"""What ``fashion-ops plan`` rests on: rates of this machine, trainings of others, and the demo.

``python -m bench.cost [--photos FOLDER] [--demo ROOT]`` prints three tables.

1. Rates of one core: JPEG decoded (``catalog.reader``; photos of the folder or drawn ones of 0.51
   megapixels), regions cut (``methods.parts.crops.cut``), and convolutions in fp32 and bf16. Beside
   ``decode_mpx``, ``warp_mpx`` and the row ``cpu`` of the catalogue (docs/decisions.md).
2. Trainings whose hours others have published: hours by the plan's formula, divided by theirs.
3. The demo that ran in ROOT (``make demo``): seconds of its steps by the plan, divided by those in
   Dagster's history; once for the catalogue's core, once for the rate measured here.
"""

import argparse
import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import torch

from fashion_ops.catalog.reader import decode_rgb
from fashion_ops.distributed.planning.assumptions import Assumptions
from fashion_ops.distributed.planning.data import catalog_size
from fashion_ops.distributed.planning.devices import Device, find_device
from fashion_ops.distributed.planning.estimate import estimate, job_seconds
from fashion_ops.distributed.planning.work import BACKWARD, Job, Phase, pipeline_work
from fashion_ops.methods.describe import describe_detector, describe_landmarker
from fashion_ops.methods.parts.crops import crop_matrices, cut
from fashion_ops.params import load_params
from fashion_ops.workspace import Workspace

REGION = (499, 666)  # of a crop of 384 x 512
COCO_PEOPLE, COCO_PHOTOS = 149_813, 118_287  # of train2017: people with keypoints, photos


def draw_photos(number: int) -> list[bytes]:
    """JPEGs of 600 x 850 pixels with some 60 kB each: coarse and fine noise."""
    rng, photos = np.random.default_rng(0), []
    for _ in range(number):
        coarse = cv2.resize(rng.integers(0, 255, (17, 12, 3), np.uint8), (600, 850))
        fine = rng.normal(0, 6, (850, 600, 1))
        image = np.clip(coarse + fine, 0, 255).astype(np.uint8)
        photos.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 70])[1].tobytes())
    return photos


def per_second(run: Callable[[], float], seconds: float = 2.0) -> float:
    """Amount of work that ``run`` returns, per second of this process, over some calls."""
    run()
    amount, start = 0.0, time.process_time()
    while time.process_time() - start < seconds:
        amount += run()
    return amount / (time.process_time() - start)


def rates(folder: Path | None) -> dict[str, float]:
    """Rates of one core: megapixels decoded and cut a second, TFLOP/s of matrix products."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    found = sorted(p for p in folder.rglob("*.jpg")) if folder else []
    photos = [path.read_bytes() for path in found[:64]] or draw_photos(16)
    images = [decode_rgb(data, "photo") for data in photos]
    pixels = sum(image.shape[0] * image.shape[1] for image in images) / 1e6
    whole = [
        np.array([[0.1 * i.shape[1], 0.1 * i.shape[0], 0.9 * i.shape[1], 0.9 * i.shape[0]]])
        for i in images
    ]
    matrices = [crop_matrices(box, REGION, 1.25)[0] for box in whole]

    def decode() -> float:
        for data in photos:
            decode_rgb(data, "photo")
        return pixels

    def cut_all() -> float:
        for image, matrix in zip(images, matrices, strict=True):
            cut(image, matrix, REGION)
        return len(images) * REGION[0] * REGION[1] / 1e6

    def convolution(dtype: torch.dtype) -> Callable[[], float]:
        x = torch.randn(16, 64, 32, 32).to(dtype, memory_format=torch.channels_last)
        layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(dtype).to(memory_format=torch.channels_last)

        @torch.inference_mode()
        def run() -> float:
            layer(x)
            return 2 * x.numel() * 64 * 9 / 1e12

        return run

    return {
        "image_mpx": pixels / len(images),
        "image_kb": sum(map(len, photos)) / len(photos) / 1e3,
        "decode_mpx": per_second(decode),
        "warp_mpx": per_second(cut_all),
        "fp32 tflops": per_second(convolution(torch.float32)),
        "bf16 tflops": per_second(convolution(torch.bfloat16)),
    }


def training(net: dict, samples: float, batch: int) -> Job:
    """A training as the plan sees it, with loaders that keep up."""
    macs = BACKWARD * (net["macs"] + net["training_only"]["macs"])
    launches = BACKWARD * net["launches"]
    return Job("all", (Phase(True, samples, macs, launches, net["parameters"], batch, loaders=8),))


def published() -> list[tuple[str, float, float]]:
    """Name, hours by the plan, hours as published (the middle of a range) of trainings of others."""
    h200 = find_device("H200")
    p100 = replace(h200, name="P100", precision="fp32", tflops=9.3, link_gb_s=16.0)
    v100 = replace(h200, name="V100", precision="fp32", tflops=15.7, link_gb_s=150.0)
    titan_v = replace(v100, name="TITAN V", tflops=14.9, link_gb_s=16.0)
    hrnet = describe_landmarker("hrnet_w32", "none", (192, 256))
    dla = describe_detector("dla34_dcn", "none", 512)
    hourglass = describe_detector("hourglass104", "none", 512)
    cases = [
        # leoxiaobin/deep-high-resolution-net.pytorch, issue 3: "about 50-60 hours with 4 P100 GPUs"
        ("HRNet-W32, COCO, 210 epochs, 4 P100", training(hrnet, COCO_PEOPLE * 210, 128), 4, p100, 55.0),
        # Objects as Points (arXiv 1904.07850), section 5: 2.5 and 5 days on 8 TITAN V
        (
            "CenterNet DLA-34, COCO, 140 epochs, 8 TITAN V",
            training(dla, COCO_PHOTOS * 140, 128),
            8,
            titan_v,
            60.0,
        ),
        (
            "CenterNet Hourglass, COCO, 50 epochs, 8 TITAN V",
            training(hourglass, COCO_PHOTOS * 50, 24),
            8,
            titan_v,
            120.0,
        ),
        # zzzxxxttt/pytorch_simple_CenterNet_45, issue 3: 140 epochs in about 3 days on 8 V100
        (
            "CenterNet of a reproduction, 140 epochs, 8 V100",
            training(dla, COCO_PHOTOS * 140, 128),
            8,
            v100,
            72.0,
        ),
    ]
    return [
        (name, sum(job_seconds(job, width, device, Assumptions()).values()) / 3600, hours)
        for name, job, width, device, hours in cases
    ]


def demo(root: Path, core: Device) -> list[tuple[str, float, float]]:
    """Step, seconds by the plan, seconds in Dagster's history, of the demo in ``root``."""
    params, ws = load_params(root / "params.yaml"), Workspace(root)
    real: dict[str, float] = {}
    for file in (root / ".dagster" / "history" / "runs").glob("*-*.db"):
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as history:
            events = history.execute(
                "select step_key, timestamp, dagster_event_type from event_logs where "
                "dagster_event_type in ('STEP_START', 'STEP_SUCCESS') order by timestamp"
            )
            for step, text, kind in events:
                sign = 1 if kind == "STEP_SUCCESS" else -1
                real[step] = real.get(step, 0.0) + sign * datetime.fromisoformat(text).timestamp()
    photo = params.synthesize.size**2 / 1e6
    a = replace(Assumptions(), image_mpx=photo, image_kb=120 * photo, cores_per_gpu=1.0)
    work = pipeline_work(params, catalog_size(ws, params), a)
    cores = os.cpu_count() or 1
    planned = {w.step: estimate(w, cores, core, a, params.distributed, {}).seconds for w in work}
    return [(step, planned[step], real[step]) for step in planned if step in real]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--demo", type=Path)
    options = parser.parse_args()
    print("| one core of this machine | |\n|---|---|")
    measured = rates(options.photos)
    for name, value in measured.items():
        print(f"| {name} | {value:.3g} |")
    tables = [("training", "h", published())]
    if options.demo:
        core = find_device("cpu")
        tables.append(("step of the demo, core of the catalogue", "s", demo(options.demo, core)))
        fastest = max(measured["fp32 tflops"], measured["bf16 tflops"])
        here = replace(core, tflops=fastest)
        tables.append(("step of the demo, this core", "s", demo(options.demo, here)))
    for title, unit, found in tables:
        if unit == "s":
            found.append(("all", sum(row[1] for row in found), sum(row[2] for row in found)))
        print(f"\n| {title} | planned, {unit} | real, {unit} | planned / real |\n|---|---|---|---|")
        for name, planned, real in found:
            print(f"| {name} | {planned:.3g} | {real:.3g} | {planned / real:.2f} |")


if __name__ == "__main__":
    main()
