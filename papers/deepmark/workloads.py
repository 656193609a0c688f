"""What Figures 4 and 12 measure: functions for a process of their own (``subprocess_measure``).

They read images from a file that ``savings`` writes, since reading a catalog takes memory too. They
report the memory on top of what the process held before the network was made, because an interpreter
and its libraries are the same for each grouping.
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
from fashion_ops.methods.parts.precision import autocast
from fashion_ops.params import PostProcess, TrainDetector
from fashion_ops.taxonomy import load_grouping
from papers.subprocess_measure import Numbers, memory_mib, peak_mib

KEPT = 3  # garments that an untrained network is made to detect in an image


class WholeMaps(CenterNet):
    """CenterNet trained as published: computes all six maps whole and reads them at the targets."""

    def at_cells(self, pixels: Tensor, centers: Tensor, points: Tensor) -> list[dict[str, Tensor]]:
        """Outputs at the targets, as ``CenterNet.at_cells`` returns them, from whole maps."""
        out = self(pixels)
        for name in ("wh", "reg", "hps", "hp_offset"):
            values = out[name].permute(0, 2, 3, 1).flatten(0, 2)
            out[name] = values[points if name == "hp_offset" else centers]
        return [out]


def training_step(
    batch: str, backbone: str, grouping: str, whole_maps: bool, steps: int, device: str, threads: int
) -> Numbers:
    """Measure training steps: peak memory, and the time of the fastest after one untimed step.

    A step moves the batch to the device, augments it, makes targets and runs forward, backward and
    AdamW.

    Args:
        batch: safetensors file with a batch of ``centernet.data.Images``.
        backbone: of the untrained network.
        grouping: of the landmarks in the batch.
        whole_maps: train as published; otherwise regressions are computed at targets only.
        steps: number of timed steps.
        device: ``cpu`` or ``cuda``.
        threads: of the CPU.

    Returns:
        ``ms`` of a step, and ``MiB`` and ``process MiB`` of memory.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    where, loaded, landmark_grouping = torch.device(device), load_file(batch), load_grouping(grouping)
    idle = memory_mib()
    network = (WholeMaps if whole_maps else CenterNet)(backbone, landmark_grouping.num_groups)
    settings = DetectorSettings(Warp(flip=0.5, scale=0.1, shift=0.03, color=0.1), "published")
    mirror = torch.from_numpy(landmark_grouping.mirror())
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


def inference(
    images: str, backbone: str, grouping: str, size: int, device: str, threads: int
) -> Numbers:
    """Measure inference: peak memory, and the time of the fastest image with all four techniques.

    The network is untrained; its score threshold is set so that it detects ``KEPT`` garments.

    Args:
        images: safetensors file with RGB uint8 images (H, W, 3); the first one is not timed.
        backbone: of the network.
        grouping: of the landmarks.
        size: side of the network's input, pixels.
        device: ``cpu`` or ``cuda``.
        threads: of the CPU.

    Returns:
        ``ms`` of an image, and ``MiB`` and ``process MiB`` of memory.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    pixels = [image.numpy() for _, image in sorted(load_file(images).items())]
    where = torch.device(device)
    idle = memory_mib()
    network = CenterNet(backbone, load_grouping(grouping).num_groups).eval().to(where)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    spec = {"backbone": backbone, "grouping": grouping, "input_size": size}
    post = PostProcess(flip=False)
    detector = Detector(TorchNetwork(network, "auto", where), spec, post)
    times = []
    for image in pixels:
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
