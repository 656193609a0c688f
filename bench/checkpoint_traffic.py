"""How much the checkpoints of the 13 refiners of ``configs/deepfashion2.yaml`` weigh on the network.

``python -m bench.checkpoint_traffic`` counts weights and optimizer of PoseFix, the garments of
DeepFashion2 and the epochs of the file; speeds of a training are assumed, in garments a second.
"""

from pathlib import Path

import torch

from fashion_ops.methods.posefix.model import PoseFix
from fashion_ops.params import load_params
from fashion_ops.taxonomy import CATEGORIES

CONFIG = Path(__file__).parent.parent / "configs" / "deepfashion2.yaml"
SPEEDS = (50, 100, 200, 400)


def main() -> None:
    """Print the traffic with a checkpoint each epoch, and with one each ``checkpoint_minutes``."""
    params = load_params(CONFIG)
    with torch.device("meta"):
        network = PoseFix(params.refine.backbone, 39, params.refine.pose_sigma)
    floats = 3 * sum(p.numel() for p in network.parameters())  # weights, two moments of AdamW
    gigabytes = 4 * (floats + sum(b.numel() for b in network.buffers())) / 1e9
    epochs = {c.name: params.categories[c.name].refine.epochs for c in CATEGORIES}
    every, total = params.distributed.checkpoint_minutes, sum(epochs.values())
    print(f"a checkpoint: {1000 * gigabytes:.0f} MB; epochs: {total}")
    print(f"one each epoch: {gigabytes * total:.0f} GB")
    for speed in SPEEDS:
        minutes = {c.name: c.train_count * epochs[c.name] / speed / 60 for c in CATEGORIES}
        sent = sum(min(epochs[name], int(m / every)) for name, m in minutes.items())
        hours = sum(minutes.values()) / 60
        when = f"one each {every:g} minutes at {speed} garments/s ({hours:.0f} h)"
        print(f"{when}: {gigabytes * sent:.0f} GB")


if __name__ == "__main__":
    main()
