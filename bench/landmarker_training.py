"""How fast does the landmarker train? Ours against the published HRNet repository's way.

    python -m bench.landmarker_training [--backbone hrnet_w16_small] [--crop 96x128] [--batch 16]
        [--grouping agg81] [--images 64] [--rounds 3] [--threads 2]

The same network, weights, batch and garments of the synthetic wardrobe, all in one run, each way in a
process of its own, by turns:

- published: float32; as many loader processes as threads read, warp and normalise one sample at a time
  and draw its heatmaps in NumPy; the loss walks over the joints; Adam; loss and accuracy of each batch
  are read. (Its printing is left out.)
- ours, as ``train_landmarker`` does it: regions cut once and kept, one affine warp of the whole batch,
  targets rendered and compared as tensors, bf16 where the processor has it, channels last, fused AdamW,
  freed memory kept.
  "cut anew" cuts the regions in each epoch, as it is done with more garments than memory takes.

Each way's median round counts, by the clock and by processor time, loaders included; other work on the
machine disturbs the second less.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from bench.detector_input import cpu_seconds
from bench.published_landmarker import JointsLoss, PublishedCrops, accuracy
from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import load_garments, used_grouping
from fashion_ops.methods.describe import parse_size
from fashion_ops.methods.parts.augment import Warp, step_generator
from fashion_ops.methods.parts.memory import keep_freed_memory
from fashion_ops.methods.parts.regions import Regions
from fashion_ops.methods.parts.trainer import autocast, clip_gradients, wants_bf16
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.module import LandmarkerModule, LandmarkerSettings
from fashion_ops.params import Params, TrainLandmarker
from fashion_ops.steps import aggregate, ingest, synthesize
from fashion_ops.workspace import Workspace

CPU = torch.device("cpu")
WAYS = ("published", "ours", "ours, cut anew")
epoch: Callable[[], None]  # of the way whose process this is


class Module(LandmarkerModule):
    """Outside of a Lightning run there is no progress to ask for."""

    progress = 0.0  # type: ignore[assignment]


def make_data(root: Path, images: int, grouping: str) -> int:
    """A workspace with a wardrobe's catalog, its images as files by image id; how many garments."""
    ws = Workspace(root)
    params = Params.model_validate(
        {
            "synthesize": {"train": images, "validation": 0},
            "ingest": {"root": str(ws.raw)},
            "aggregate": {"grouping": grouping},
        }
    )
    for step in (synthesize, ingest, aggregate):
        step.run(params, ws)
    catalog = Catalog(ws.catalog)
    for image_id in catalog.images["image_id"]:
        (root / f"{image_id}.jpg").write_bytes(catalog.image_bytes(int(image_id)))
    return len(catalog.garments)


def our_epoch(module: Module, optimizer: torch.optim.Optimizer, data: Regions, batch: int) -> None:
    """One pass over the garments, as ``fit`` makes it."""
    order = torch.randperm(len(data)).tolist()
    for step in range(len(data) // batch):
        samples = data.__getitems__(order[step * batch : (step + 1) * batch])
        with autocast("auto", CPU):
            loss = module.losses(samples, step_generator(0, step, CPU))["loss"]
        optimizer.zero_grad()
        loss.backward()
        clip_gradients(module)
        optimizer.step()


def their_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader) -> None:
    """One pass, as the released loop makes it."""
    judge = JointsLoss()
    for crops, target, weight in loader:
        output = model(crops)
        loss = judge(output, target, weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        accuracy(output.detach().numpy(), target.numpy())


def make_way(way: str, p: TrainLandmarker, root: Path, threads: int) -> Callable[[], None]:
    """An epoch of this way, on the workspace at ``root``."""
    ws = Workspace(root)
    catalog, grouping = Catalog(ws.catalog), used_grouping(ws)
    _, garments = load_garments(ws, "train")
    torch.manual_seed(0)
    model = Landmarker(p.backbone, grouping.num_groups)
    if way == "published":
        crops = PublishedCrops(
            {int(i): root / f"{i}.jpg" for i in catalog.images["image_id"]},
            garments,
            grouping.mirror(),
            p.crop,
            p.padding,
            p.heatmap_sigma,
            p.flip,
            p.rotation,
            p.scale,
        )
        loader = DataLoader(
            crops,
            p.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=threads,
            persistent_workers=True,
        )
        adam = torch.optim.Adam(model.parameters(), lr=1e-4)
        return lambda: their_epoch(model, adam, loader)
    keep_freed_memory()  # as `fit` does
    settings = LandmarkerSettings(
        p.crop, p.heatmap_sigma, p.loss, Warp(p.flip, p.rotation, p.scale, p.shift, p.color)
    )
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module = Module(model, p.backbone, p, settings, grouping, 0)
    adamw = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    regions = Regions(garments, catalog.image, p.crop, p.padding)
    if way == "ours, cut anew":
        regions._cache = None
    return lambda: our_epoch(module, adamw, regions, p.batch_size)


def begin(way: str, p: TrainLandmarker, root: Path, threads: int) -> None:
    """Get a process ready for its one way."""
    global epoch
    torch.set_num_threads(threads)
    cv2.setNumThreads(0)
    epoch = make_way(way, p, root, threads)


def turn() -> tuple[float, float]:
    """Seconds of an epoch by the clock and of processor time."""
    start, cpu = time.perf_counter(), cpu_seconds()
    epoch()
    return time.perf_counter() - start, cpu_seconds() - cpu


def main() -> None:
    """Make the wardrobe, time the ways by turns, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backbone", default="hrnet_w16_small")
    parser.add_argument("--crop", default="96x128", help="WIDTHxHEIGHT, pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--grouping", default="agg81")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    p = TrainLandmarker(
        backbone=args.backbone, crop=parse_size(args.crop), batch_size=args.batch, loss="mse"
    )
    print(
        f"load of the machine before: {os.getloadavg()[0]:.1f}; bf16 here: {wants_bf16('auto', 'cpu')}"
    )
    print(f"{args.backbone}, {args.crop}, batch {args.batch}, {args.grouping}", flush=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        seen = make_data(root, args.images, args.grouping) // args.batch * args.batch
        processes = {
            way: stack.enter_context(
                ProcessPoolExecutor(
                    1, get_context("spawn"), initializer=begin, initargs=(way, p, root, args.threads)
                )
            )
            for way in WAYS
        }
        rounds: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for round_ in range(args.rounds + 1):
            for way, process in processes.items():
                taken = process.submit(turn).result()
                if round_:  # the first one warms up
                    rounds[way].append(taken)
    median = {way: np.median(values, axis=0) for way, values in rounds.items()}
    for way, (wall, cpu) in median.items():
        print(f"{way:16} {seen / wall:7.1f} garments/s, {1000 * cpu / seen:7.1f} ms of a core each")
    theirs = median.pop("published")
    for way, mine in median.items():
        wall, cpu = theirs / mine
        print(f"{way}: {wall:.2f}x by the clock, {cpu:.2f}x by processor time")


if __name__ == "__main__":
    main()
