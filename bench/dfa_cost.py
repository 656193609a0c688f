"""Inference cost of DFA against DeepPose: same backbone, same crops, taking turns in one run.

``python -m bench.dfa_cost [--backbone vgg16] [--size 224] [--crops 8] [--repeats 3]``. The networks
are untrained, since weights do not change the time. A garment takes 3 forward passes with DFA and
routing (the router's arithmetic included), 4 with the average of both branches, and 1 + 8 + 8 with
DeepPose, whose patches are cut from the crop. The paper measured 100 ms against nearly 650 ms on a
Titan X for 300x300.
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
    """Print processor time in milliseconds a garment, and forward passes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="vgg16")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--crops", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    torch.manual_seed(0)
    spec = {"precision": args.precision}
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (300, 300, 3)).astype(np.uint8)
    boxes = np.tile([0.0, 0.0, 300.0, 300.0], (args.crops, 1))
    crops = Crops(np.zeros(args.crops, int), boxes, lambda _: image, args.size, "letterbox")

    def stage(cascade: bool, count: int = 1, routed: bool = False) -> TrainedStage:
        nets = tuple(
            StageNet(args.backbone, args.size, LANDMARKS, CLUSTERS, cascade) for _ in range(count)
        )
        return TrainedStage(nets, None, spec, (rng.random(CLUSTERS), 0.5) if routed else None)

    stages = [stage(False), stage(True), stage(True, 2, routed=True)]
    both = TrainedStage(stages[2].nets, None, spec)
    patches = tuple(
        PatchStage(args.backbone, args.size, LANDMARKS, None, 0.0).to(memory_format=torch.channels_last)
        for _ in range(2)
    )
    for net in (n for s in stages for n in s.nets):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    deeppose = DeepPose(TrainedStage(stages[0].nets, None, spec), patches)

    def dfa(last: TrainedStage) -> int:
        estimate, passes = None, 0
        for one in (*stages[:2], last):
            estimate = one.predict(crops, estimate)
            passes += estimate.passes
        return passes

    variants = {
        "DFA, routed": lambda: dfa(stages[2]),
        "DFA, averaged": lambda: dfa(both),
        "DeepPose": lambda: deeppose.predict(crops) is None or deeppose.networks,
    }
    times: dict[str, list[float]] = {name: [] for name in variants}
    passes: dict[str, int] = {}
    for repeat in range(args.repeats + 1):
        for name, predict in variants.items():
            start = time.process_time()
            passes[name] = int(predict())
            if repeat:  # the first one warms up
                times[name].append(1000 * (time.process_time() - start) / args.crops)
    milliseconds = {name: min(values) for name, values in times.items()}
    for name, value in milliseconds.items():
        share = value / milliseconds["DeepPose"]
        print(f"{name:14} {passes[name]:3} passes {value:9.2f} ms a garment {share:6.1%} of DeepPose")
    print(json.dumps({"ms": milliseconds, "passes": passes}))


if __name__ == "__main__":
    main()
