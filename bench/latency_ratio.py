"""How far the gate's latency numbers move by chance: one bundle against itself, idle and beside work.

    python -m bench.latency_ratio [--models models] [--photos 12] [--busy 2] [--repeats 5]

The bundle is loaded twice, as challenger and champion, and measured as ``promote`` measures. The ratio
ought to be 1 whatever else runs; the milliseconds are those of the machine and its load.
"""

import argparse
import os
import statistics
from pathlib import Path

from bench.waiting_threads import PHOTO, busy
from fashion_ops.inference.latency import latencies, median_ratio
from fashion_ops.inference.predictor import Predictor
from fashion_ops.methods.parts.device import CPU
from fashion_ops.synthetic.wardrobe.generate import encode
from fashion_ops.synthetic.wardrobe.plan import plan


def main() -> None:
    """Measure; print the range of milliseconds and of the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"), help="of `make demo`")
    parser.add_argument("--photos", type=int, default=12)
    parser.add_argument("--busy", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    pair = [Predictor.load(args.models, CPU) for _ in range(2)]
    photos = [encode(shot, PHOTO)[0] for shot in plan(0, "validation", args.photos, 0.35)]
    print(f"{os.cpu_count()} cores, load before: {os.getloadavg()[0]:.1f}", flush=True)
    for number in (0, args.busy):
        with busy(number):
            times = [latencies(pair, photos) for _ in range(args.repeats)]
        milliseconds = [statistics.median(new) for new, _ in times]
        ratios = [median_ratio(new, old) for new, old in times]
        print(
            f"beside {number} busy processes: {min(milliseconds):.0f} to {max(milliseconds):.0f} ms, "
            f"ratio {min(ratios):.2f} to {max(ratios):.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
