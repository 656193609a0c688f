"""Inference cost of DFA against DeepPose: the same trunk, the same crops, in turns, one run.

``python -m bench.dfa_cost [--backbone vgg16] [--size 224] [--crops 8] [--repeats 3]``. The networks
are untrained: weights change no time. DFA with routing is 3 forward passes a garment (the router's own
arithmetic included), the average of its two branches 4, DeepPose 1 + 8 + 8 with its patches cut from
the crop. The paper: 100 ms against nearly 650 ms on a Titan X for 300x300.
"""

import argparse
import json
import time

import numpy as np
import torch

from fashion_ops.methods.alignment.crops import Crops
from fashion_ops.methods.alignment.deeppose.inference import DeepPose
from fashion_ops.methods.alignment.deeppose.model import PatchStage
from fashion_ops.methods.alignment.dfa.inference import TrainedStage
from fashion_ops.methods.alignment.dfa.model import StageNet

LANDMARKS, CLUSTERS = 8, 20


def main() -> None:
    """Print milliseconds of a garment, processor time, and passes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="vgg16")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--crops", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default="auto")
    given = parser.parse_args()
    torch.manual_seed(0)
    spec = {"precision": given.precision}
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (300, 300, 3)).astype(np.uint8)
    boxes = np.tile([0.0, 0.0, 300.0, 300.0], (given.crops, 1))
    crops = Crops(np.zeros(given.crops, int), boxes, lambda _: image, given.size, "letterbox")

    def stage(cascade: bool, count: int = 1, routed: bool = False) -> TrainedStage:
        nets = tuple(
            StageNet(given.backbone, given.size, LANDMARKS, CLUSTERS, cascade) for _ in range(count)
        )
        return TrainedStage(nets, None, spec, (rng.random(CLUSTERS), 0.5) if routed else None)

    stages = [stage(False), stage(True), stage(True, 2, routed=True)]
    both = TrainedStage(stages[2].nets, None, spec)
    patches = tuple(
        PatchStage(given.backbone, given.size, LANDMARKS, None, 0.0).to(
            memory_format=torch.channels_last
        )
        for _ in range(2)
    )
    for net in (n for s in stages for n in s.nets):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    deeppose = DeepPose(TrainedStage(stages[0].nets, None, spec), patches)

    def dfa(last: TrainedStage) -> int:
        found, passes = None, 0
        for one in (*stages[:2], last):
            found = one.predict(crops, found)
            passes += found.passes
        return passes

    ways = {
        "DFA, routed": lambda: dfa(stages[2]),
        "DFA, averaged": lambda: dfa(both),
        "DeepPose": lambda: deeppose.predict(crops) is None or deeppose.networks,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    passes: dict[str, int] = {}
    for turn in range(given.repeats + 1):
        for name, way in ways.items():
            start = time.process_time()
            passes[name] = int(way())
            if turn:
                times[name].append(1000 * (time.process_time() - start) / given.crops)
    milliseconds = {name: min(values) for name, values in times.items()}
    for name, value in milliseconds.items():
        share = value / milliseconds["DeepPose"]
        print(f"{name:14} {passes[name]:3} passes {value:9.2f} ms a garment {share:6.1%} of DeepPose")
    print(json.dumps({"ms": milliseconds, "passes": passes}))


if __name__ == "__main__":
    main()
