"""What spinning OpenMP threads cost beside other work: prediction and training, one run.

    python -m bench.waiting_threads [--models models] [--photos 10] [--images 32] [--busy 2]
        [--rounds 2]

A thread of libgomp that waits spins for milliseconds by default, on a core that another process could
use. Four processes do the same work with all cores and take turns, first on the machine as it is, then
beside ``--busy`` processes that never stop:

- spinning: torch is loaded before ``fashion_ops``, so libgomp has its own default;
- passive: a waiting thread sleeps at once (``OMP_WAIT_POLICY=passive`` alone);
- ours: ``fashion_ops`` is loaded first and sets a short spin, as in every process that we start;
- one thread: ``OMP_NUM_THREADS=1``, for comparison; bits may differ from those of two threads.

The work is the whole bundle on photos of the wardrobe, and an epoch of the landmarker on its garments.
The faster round of each counts. At the end it compares what the first three predicted and learned, bit
for bit.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

VARIANTS = {
    "spinning": ("import torch; ", {}),
    "passive": ("import torch; ", {"OMP_WAIT_POLICY": "passive"}),
    "ours": ("", {}),
    "one thread": ("", {"OMP_NUM_THREADS": "1"}),
}
WORKS = ("predict", "train")
PHOTO = 480  # side of the photos, pixels; DeepFashion2's are about 470 x 620


def serve(root: str, models: str, photos: int) -> None:
    """Do the work that each line of standard input names; answer with its seconds and a hash."""
    works = {"predict": prediction(Path(models), photos), "train": training(Path(root))}
    for line in sys.stdin:
        start = time.perf_counter()
        digest = works[line.strip()]()
        print(f"{time.perf_counter() - start} {digest}", flush=True)


def prediction(models: Path, photos: int) -> Callable[[], str]:
    """A function that predicts photos with a bundle and returns a hash of their garments."""
    from fashion_ops.inference.predictor import Predictor, decode_photo
    from fashion_ops.methods.parts.device import CPU
    from fashion_ops.synthetic.wardrobe.generate import encode
    from fashion_ops.synthetic.wardrobe.plan import plan

    predictor = Predictor.load(models, CPU)
    jpegs = [encode(shot, PHOTO)[0] for shot in plan(0, "validation", photos, 0.35)]

    def predict() -> str:
        garments = [predictor.predict(decode_photo(data, "photo")) for data in jpegs]
        return hashlib.md5(
            repr([[g.to_json() for g in photo] for photo in garments]).encode()
        ).hexdigest()

    return predict


def training(root: Path) -> Callable[[], str]:
    """A function that trains another epoch of the same model and returns a hash of its weights."""
    import torch

    from bench.landmarker_training import our_epoch, our_training
    from fashion_ops.params import TrainLandmarker

    config = TrainLandmarker(backbone="hrnet_w16_small", crop=(96, 128), batch_size=16, loss="mse")
    module, optimizer, regions = our_training(config, root)

    def train() -> str:
        torch.manual_seed(0)
        our_epoch(module, optimizer, regions, config.batch_size)
        weights = b"".join(p.detach().numpy().tobytes() for p in module.model.parameters())
        return hashlib.md5(weights).hexdigest()

    return train


class Worker:
    """A process of one variant that works when it is told to."""

    def __init__(self, variant: str, arguments: tuple[str, str, int]) -> None:
        first, settings = VARIANTS[variant]
        code = f"{first}from bench.waiting_threads import serve; serve{arguments!r}"
        env = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, "-c", code], env=env | settings, **pipes)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def do(self, work: str) -> tuple[float, str]:
        """Do one kind of work; returns its seconds and the hash of its result."""
        print(work, file=self.process.stdin, flush=True)
        seconds, digest = self.process.stdout.readline().split()
        return float(seconds), digest


@contextmanager
def busy(number: int) -> Iterator[None]:
    """Keep this number of cores busy within the block."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main() -> None:
    """Time all variants in turns; print seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"), help="of `make demo`")
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--images", type=int, default=32, help="to train on")
    parser.add_argument("--busy", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, load before: {os.getloadavg()[0]:.1f}", flush=True)
    print(
        f"{'work':9}{'beside':9}"
        + "".join(f"{name:>12}" for name in VARIANTS)
        + "   spinning/ours  passive/ours"
    )
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        _make_data(Path(folder), args.images)
        arguments = (folder, str(args.models.resolve()), args.photos)
        workers = {name: stack.enter_context(Worker(name, arguments)) for name in VARIANTS}
        digests = {(w, n): worker.do(w)[1] for w in WORKS for n, worker in workers.items()}  # warms up
        for number in (0, args.busy):
            for work in WORKS:
                best = dict.fromkeys(workers, float("inf"))
                with busy(number):
                    for _ in range(args.rounds):
                        for name, worker in workers.items():
                            best[name] = min(best[name], worker.do(work)[0])
                seconds = "".join(f"{value:10.2f} s" for value in best.values())
                ratios = [best[name] / best["ours"] for name in ("spinning", "passive")]
                print(
                    f"{work:9}{f'{number} busy':9}{seconds}{ratios[0]:14.2f}x{ratios[1]:13.2f}x",
                    flush=True,
                )
    for work in WORKS:
        equal = digests[work, "spinning"] == digests[work, "passive"] == digests[work, "ours"]
        print(f"{work}: the bits of all ways to wait are {'equal' if equal else 'DIFFERENT'}")


def _make_data(root: Path, images: int) -> None:
    from bench.landmarker_training import make_data

    make_data(root, images, "agg81")


if __name__ == "__main__":
    main()
