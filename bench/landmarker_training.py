"""Training speed of the landmarker against the published HRNet code, one run.

    python -m bench.landmarker_training [--backbone hrnet_w16_small] [--crop 96x128] [--batch 16]
        [--grouping agg81] [--images 64] [--rounds 3] [--threads 2]

All variants train the same network from the same weights on the same garments of the synthetic
wardrobe. Each has its own process, and they take turns:

- published: float32; as many loader processes as threads read, warp and normalise one sample at a time
  and draw its heatmaps in NumPy; the loss loops over the joints; Adam; loss and accuracy of each batch
  are computed. Its printing is left out.
- ours, as in ``train_landmarker``: regions cut once and cached, one affine warp of the whole batch,
  targets rendered and compared as tensors, bf16 where the processor supports it, channels last, fused
  AdamW, freed memory kept.
- ours, cut anew: the regions are cut in each epoch, as for data sets that do not fit in memory.

The median round of each counts: wall time, and processor time with loaders, which other work on the
machine disturbs less.
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
from fashion_ops.methods.parts.augment import step_generator
from fashion_ops.methods.parts.memory import keep_freed_memory
from fashion_ops.methods.parts.precision import autocast, computes_bf16
from fashion_ops.methods.parts.regions import Regions
from fashion_ops.methods.parts.training_module import clip_gradients
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.module import LandmarkerModule, LandmarkerSettings
from fashion_ops.methods.top_down.training import landmarker_warp
from fashion_ops.params import Params, TrainLandmarker
from fashion_ops.steps import aggregate, ingest, synthesize
from fashion_ops.workspace import Workspace

CPU = torch.device("cpu")
VARIANTS = ("published", "ours", "ours, cut anew")
epoch: Callable[[], None]  # of the variant that this process runs


class Module(LandmarkerModule):
    """The landmarker's module outside of a Lightning run, which would know the progress."""

    progress = 0.0  # type: ignore[assignment]


def make_data(root: Path, images: int, grouping: str) -> int:
    """Make a workspace with a wardrobe's catalog and its images as files named by image id.

    Returns:
        The number of garments.
    """
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
    """One pass over the garments, as in ``fit``."""
    order = torch.randperm(len(data)).tolist()
    for step in range(len(data) // batch):
        samples = data.__getitems__(order[step * batch : (step + 1) * batch])
        with autocast("auto", CPU):
            loss = module.losses(samples, step_generator(0, step, CPU))["loss"]
        optimizer.zero_grad()
        loss.backward()
        if module.config.clip_gradients is not None:
            clip_gradients(module, module.config.clip_gradients)
        optimizer.step()


def their_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader) -> None:
    """One pass over the garments, as in the released loop."""
    criterion = JointsLoss()
    for crops, target, weight in loader:
        output = model(crops)
        loss = criterion(output, target, weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        accuracy(output.detach().numpy(), target.numpy())


def make_epoch(variant: str, config: TrainLandmarker, root: Path, threads: int) -> Callable[[], None]:
    """A function that trains one epoch of a variant on the workspace at ``root``."""
    if variant != "published":
        module, adamw, regions = our_training(config, root)
        if variant == "ours, cut anew":
            regions._cache = None
        return lambda: our_epoch(module, adamw, regions, config.batch_size)
    ws = Workspace(root)
    catalog, grouping = Catalog(ws.catalog), used_grouping(ws)
    _, garments = load_garments(ws, "train")
    torch.manual_seed(0)
    model = Landmarker(config.backbone, grouping.num_groups)
    crops = PublishedCrops(
        {int(i): root / f"{i}.jpg" for i in catalog.images["image_id"]},
        garments,
        grouping.mirror(),
        config,
    )
    loader = DataLoader(
        crops,
        config.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=threads,
        persistent_workers=True,
    )
    adam = torch.optim.Adam(model.parameters(), lr=1e-4)
    return lambda: their_epoch(model, adam, loader)


def our_training(config: TrainLandmarker, root: Path) -> tuple[Module, torch.optim.Optimizer, Regions]:
    """What ``our_epoch`` trains, how and on what; the same weights for every call."""
    ws = Workspace(root)
    catalog, grouping = Catalog(ws.catalog), used_grouping(ws)
    _, garments = load_garments(ws, "train")
    torch.manual_seed(0)
    model = Landmarker(config.backbone, grouping.num_groups)
    keep_freed_memory()  # as in training
    settings = LandmarkerSettings(
        config.crop,
        config.heatmap_sigma,
        config.loss,
        landmarker_warp(config),
    )
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module = Module(model, config.backbone, config, settings, grouping, 0)
    adamw = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    return (
        module,
        adamw,
        Regions(garments, catalog.image, config.crop, config.padding, warp=settings.warp),
    )


def initialize(variant: str, config: TrainLandmarker, root: Path, threads: int) -> None:
    """Prepare a process for its variant."""
    global epoch
    torch.set_num_threads(threads)
    cv2.setNumThreads(0)
    epoch = make_epoch(variant, config, root, threads)


def time_epoch() -> tuple[float, float]:
    """Wall time and processor time of one epoch, seconds."""
    start, cpu = time.perf_counter(), cpu_seconds()
    epoch()
    return time.perf_counter() - start, cpu_seconds() - cpu


def main() -> None:
    """Make the wardrobe, time the variants in turns, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backbone", default="hrnet_w16_small")
    parser.add_argument("--crop", default="96x128", help="WIDTHxHEIGHT, pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--grouping", default="agg81")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    config = TrainLandmarker(
        backbone=args.backbone, crop=parse_size(args.crop), batch_size=args.batch, loss="mse"
    )
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}; bf16: {computes_bf16('auto', 'cpu')}")
    print(f"{args.backbone}, {args.crop}, batch {args.batch}, {args.grouping}", flush=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        garments = make_data(root, args.images, args.grouping) // args.batch * args.batch
        processes = {
            variant: stack.enter_context(
                ProcessPoolExecutor(
                    1,
                    get_context("spawn"),
                    initializer=initialize,
                    initargs=(variant, config, root, args.threads),
                )
            )
            for variant in VARIANTS
        }
        rounds: dict[str, list[tuple[float, float]]] = {variant: [] for variant in VARIANTS}
        for round_ in range(args.rounds + 1):
            for variant, process in processes.items():
                taken = process.submit(time_epoch).result()
                if round_:  # the first one warms up
                    rounds[variant].append(taken)
    median = {variant: np.median(values, axis=0) for variant, values in rounds.items()}
    for variant, (wall, cpu) in median.items():
        rate, work = garments / wall, 1000 * cpu / garments
        print(f"{variant:16} {rate:7.1f} garments/s, {work:7.1f} ms of a core each")
    theirs = median.pop("published")
    for variant, ours in median.items():
        wall, cpu = theirs / ours
        print(f"{variant}: {wall:.2f}x by the clock, {cpu:.2f}x by processor time")


if __name__ == "__main__":
    main()
