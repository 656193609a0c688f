"""What Figures 4 and 12 measure, as functions for a process of its own (``isolated``).

Their images come as a file that ``savings`` writes: reading a catalog takes memory, too. The memory
reported is what came on top of the process as it was before the network was made: an interpreter and
its libraries say nothing about a grouping.
"""

import time

import torch
from safetensors.torch import load_file
from torch import Tensor

from fashion_ops.methods.centernet.decode import smoothed
from fashion_ops.methods.centernet.inference import Detector, TorchNetwork
from fashion_ops.methods.centernet.landmarks import local_maxima
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.centernet.module import CenterNetModule, DetectorSettings
from fashion_ops.methods.parts.augment import Warp, step_generator
from fashion_ops.methods.parts.trainer import autocast
from fashion_ops.params import PostProcess, TrainDetector
from fashion_ops.taxonomy import load_grouping
from papers.subprocess_measure import Numbers, memory_mib, peak_mib

KEPT = 3  # garments that an untrained network is made to find in an image


class WholeMaps(CenterNet):
    """CenterNet trained as published: all six maps are made, and then read where there is a target."""

    def at_cells(self, pixels: Tensor, centers: Tensor, points: Tensor) -> list[dict[str, Tensor]]:
        """As of ``CenterNet``, from whole maps."""
        out = self(pixels)
        for name in ("wh", "reg", "hps", "hp_offset"):
            values = out[name].permute(0, 2, 3, 1).flatten(0, 2)
            out[name] = values[points if name == "hp_offset" else centers]
        return [out]


def training_step(
    batch: str, backbone: str, grouping: str, whole_maps: bool, steps: int, device: str, threads: int
) -> Numbers:
    """Memory of optimisation steps and the time of the fastest, after one that isn't timed.

    A step: batch to the device, augmentation, targets, forward, backward, AdamW.

    Args:
        batch: file of one batch as ``Images`` gives it.
        backbone: of the network, untrained.
        grouping: of the landmarks in the batch.
        whole_maps: as published; else the regressions are computed at targets only, as we train.
        steps: how many to time.
        device: where.
        threads: of the CPU.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    where, loaded, used = torch.device(device), load_file(batch), load_grouping(grouping)
    idle = memory_mib()
    network = (WholeMaps if whole_maps else CenterNet)(backbone, used.num_groups)
    settings = DetectorSettings(Warp(flip=0.5, scale=0.1, shift=0.03, color=0.1), "published")
    mirror = torch.from_numpy(used.mirror())
    module = CenterNetModule(network, TrainDetector(), settings, mirror, 0).to(where)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, fused=True)
    times = []
    for step in range(steps + 1):
        start = time.perf_counter()
        moved = {name: value.to(where) for name, value in loaded.items()}
        with autocast("auto", where):
            loss = module.losses(moved, step_generator(0, step, where))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return {"ms": min(times[1:]), **_memory(device, idle)}


def inference(path: str, backbone: str, grouping: str, size: int, device: str, threads: int) -> Numbers:
    """Memory and the fastest time of one image, from pixels to garments with all four techniques.

    The network is untrained; its score threshold is such that it finds ``KEPT`` garments.

    Args:
        images: file of RGB uint8 images (H, W, 3); the first one is not timed.
        backbone: of the network.
        grouping: of the landmarks.
        size: side of the network's input, pixels.
        device: where.
        threads: of the CPU.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    images = [pixels.numpy() for _, pixels in sorted(load_file(path).items())]
    where = torch.device(device)
    idle = memory_mib()
    network = CenterNet(backbone, load_grouping(grouping).num_groups).eval().to(where)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    spec = {"backbone": backbone, "grouping": grouping, "input_size": size}
    post = PostProcess(flip=False)
    detector = Detector(TorchNetwork(network, "auto", where), spec, post)
    times = []
    for image in images:
        maps = smoothed(detector.maps(detector.letterbox([image])[0]), post)
        threshold = float(local_maxima(maps["hm"]).flatten().topk(KEPT).values[-1])
        start = time.perf_counter()
        detector.detect([image], threshold)
        times.append(1000 * (time.perf_counter() - start))
    return {"ms": min(times[1:]), **_memory(device, idle)}


def _memory(device: str, idle: float) -> Numbers:
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
        return {"MiB": peak, "process MiB": peak}
    return {"MiB": peak_mib() - idle, "process MiB": peak_mib()}
