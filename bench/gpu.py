"""Every method on a GPU at the size of ``configs/``, and the demo's two networks to the demo's AP.

    python -m bench.gpu [--only detector,refiner] [--steps 20] [--minutes 8] [--no-demo] [--out FILE]
    python -m bench.gpu --small        # tiny networks, also without a GPU

For each method one line: images a second in training (``--steps`` steps after five more) and in
prediction; the peak of the GPU's memory; the share of the training's time that the loader costs
(against the same steps on a batch that is there already); how often the host waits for the GPU in a
step; the largest difference in pixels between the GPU and the CPU, in fp32 and in the precision of
``auto``. A batch that does not fit is halved, and the line says so. What ``--minutes`` do not suffice
for is named.

It needs what the library needs and no orchestrator (``NEEDS``), so that a bare machine with a GPU can
run it from a checkout.
"""

import argparse
import gc
import importlib.util
import os
import shutil
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    import torch

    from bench.gpu_methods import Method

NEEDS = {  # module -> package
    "cv2": "opencv-python-headless",
    "faster_coco_eval": "faster-coco-eval",
    "filelock": "filelock",
    "jaxtyping": "jaxtyping",
    "lightning": "lightning",
    "numpy": "numpy",
    "orjson": "orjson",
    "pandas": "pandas",
    "pandera": "pandera",
    "PIL": "pillow",
    "psutil": "psutil",
    "pyarrow": "pyarrow",
    "pydantic": "pydantic",
    "rich": "rich",
    "safetensors": "safetensors",
    "timm": "timm",
    "threadpoolctl": "threadpoolctl",
    "torch": "torch",
    "torchvision": "torchvision",
    "yaml": "pyyaml",
}
WARM_STEPS = 5
COLUMNS = (
    "method", "input, pixels", "batch", "training, images/s", "prediction, images/s", "peak memory, GB",
    "waits for the loader", "host waits a step", "CUDA - CPU fp32, pixels", "CUDA - CPU auto, pixels",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What was measured of a method; ``note`` says why something is missing or smaller."""

    name: str
    size: str
    batch: int
    training: float
    prediction: float
    memory: float
    loader: float
    waits: int
    fp32: float
    auto: float
    note: str = ""

    def line(self) -> str:
        """The row of the Markdown table."""
        cells = [
            self.name,
            self.size,
            f"{self.batch}",
            f"{self.training:.0f}",
            f"{self.prediction:.0f}",
        ]
        cells += [f"{self.memory:.1f}", f"{100 * self.loader:.0f} %", f"{self.waits}"]
        cells += [f"{self.fp32:.2g}", f"{self.auto:.2g}"]
        return f"| {' | '.join(cells)} |{' ' + self.note if self.note else ''}"


class StepTimer:
    """Times the steps of the last training within its context, and counts the host's waits in one."""

    def __init__(self, steps: int, cuda: bool) -> None:
        self.steps, self.cuda = steps, cuda
        self.seconds, self.waits, self._start = float("nan"), 0, 0.0
        self._caught: list[Any] = []
        self._catch = warnings.catch_warnings(record=True)

    def __enter__(self) -> "StepTimer":
        from fashion_ops.methods.parts.training_module import TrainingModule

        timer = self

        def on_train_batch_start(module: Any, batch: Any, index: int) -> None:
            timer.before(index)

        def on_train_batch_end(module: Any, outputs: Any, batch: Any, index: int) -> None:
            timer.after(index)

        hooks = {"on_train_batch_start": on_train_batch_start, "on_train_batch_end": on_train_batch_end}
        self._patch = mock.patch.multiple(TrainingModule, create=True, **hooks)
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.stop()

    def before(self, index: int) -> None:
        """Watch the last untimed step for waits, and start the clock after it."""
        if index == WARM_STEPS - 1:
            self._watch(True)
        elif index == WARM_STEPS:
            self._watch(False)
            self._synchronize()
            self._start = time.perf_counter()

    def after(self, index: int) -> None:
        """Stop the clock after the last step."""
        if index == WARM_STEPS + self.steps - 1:
            self._synchronize()
            self.seconds = time.perf_counter() - self._start

    def _synchronize(self) -> None:
        import torch

        if self.cuda:
            torch.cuda.synchronize()

    def _watch(self, begin: bool) -> None:
        import torch

        if not self.cuda:
            return
        if begin:
            self._catch = warnings.catch_warnings(record=True)
            self._caught = self._catch.__enter__() or []
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
        else:
            torch.cuda.set_sync_debug_mode("default")
            self._catch.__exit__(None, None, None)
            self.waits = sum("synchroniz" in str(caught.message) for caught in self._caught)


def measure(method: "Method", device: "torch.device", steps: int, workers: int) -> Row:
    """Train, predict and compare one method; a batch that does not fit into the memory is halved."""
    import torch

    batch = method.batch
    while True:
        gc.collect()  # Lightning's objects refer to each other
        if device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            row = _measure(replace(method, batch=batch), device, steps, workers)
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
            batch //= 2
            continue
        halved = f"batch {method.batch} does not fit" if batch < method.batch else ""
        return replace(row, note=halved)


def _measure(method: "Method", device: "torch.device", steps: int, workers: int) -> Row:
    import resource

    import numpy as np
    import torch

    from bench.gpu_methods import nothing_cached
    from fashion_ops.methods.parts.trainer import TrainerOptions

    cuda, samples = device.type == "cuda", method.batch * (WARM_STEPS + steps)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as name, nothing_cached():
        loaded, there = Path(name, "loaded"), Path(name, "there")
        loaded.mkdir()
        there.mkdir()
        options = TrainerOptions(device=device.type, loader_workers=workers)
        with StepTimer(steps, cuda) as timer:
            model = method.train(samples, method.batch, options, loaded)
        with StepTimer(steps, cuda) as alone, one_batch(method.data):
            method.train(samples, method.batch, replace(options, loader_workers=0), there)
        method.predict(model, device)  # the first call chooses kernels
        start = time.perf_counter()
        predicted = method.predict(model, device)
        seconds = time.perf_counter() - start
        peak = torch.cuda.max_memory_allocated() / 1e9 if cuda else float("nan")
        if not cuda:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        here = [method.points(model, device, precision) for precision in ("fp32", "auto")]
        reference = method.points(model, torch.device("cpu"), "fp32")
    fp32, auto = (float(np.abs(points - reference).max()) for points in here)
    return Row(
        name=method.name,
        size=method.size,
        batch=method.batch,
        training=method.batch * steps / timer.seconds,
        prediction=predicted / seconds,
        memory=peak,
        loader=max(0.0, 1 - alone.seconds / timer.seconds),
        waits=timer.waits,
        fp32=fp32,
        auto=auto,
    )


def one_batch(data: type) -> Any:
    """Let a data set return its first batch again and again within the block."""
    read = data.__getitems__
    kept: dict[int, tuple[Any, Any]] = {}  # with the data set, so that no other takes its id

    def repeat(dataset: Any, indices: list[int]) -> Any:
        if id(dataset) not in kept:
            kept[id(dataset)] = dataset, read(dataset, indices)
        return kept[id(dataset)][1]

    return mock.patch.object(data, "__getitems__", repeat)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark and print, and write if asked, a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--only", default="", help="start of the methods' names, by commas")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--small", action="store_true", help="tiny networks, also on a CPU")
    parser.add_argument("--no-demo", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(arguments)
    if missing := sorted({p for module, p in NEEDS.items() if not _installed(module)}):
        sys.exit(f"bench.gpu needs {' '.join(missing)}: `pip install {' '.join(missing)}`")
    import torch

    if not torch.cuda.is_available() and not args.small:
        sys.exit("bench.gpu: this process sees no GPU; run it where one is, or pass --small")
    end = time.monotonic() + 60 * args.minutes
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lines = [_machine(device), "", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    print("\n".join(lines), flush=True)
    lines += _methods(args, device, end)
    if not args.no_demo:
        lines += _demo(args.small, device, end)
    if args.out is not None:
        args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _methods(args: argparse.Namespace, device: "torch.device", end: float) -> list[str]:
    """Measure the methods, the most important first, and print a line of each."""
    from bench.gpu_methods import methods

    chosen = tuple(name.strip() for name in args.only.split(","))
    workers = 2 if args.small else _loader_workers()
    lines = []
    for method in methods(args.small):
        if not method.name.startswith(chosen):
            continue
        if time.monotonic() > end:
            lines.append(f"| {method.name} | not measured: {args.minutes:g} minutes were over |")
        else:
            try:
                lines.append(measure(method, device, args.steps, workers).line())
            except Exception as error:  # the other rows are worth having
                why = (str(error).strip().splitlines() or [""])[0]
                lines.append(f"| {method.name} | failed: {type(error).__name__}: {why} |")
        print(lines[-1], flush=True)
    return lines


def _demo(small: bool, device: "torch.device", end: float) -> list[str]:
    """Train the demo's networks, and print their AP and how long it took."""
    from bench.gpu_demo import train_demo

    if time.monotonic() > end:
        lines = ["", "demo: not measured, the time was over"]
    else:
        lines = ["", *train_demo(small, device.type)]
    print("\n".join(lines), flush=True)
    return lines


def _loader_workers() -> int:
    """One for each CPU core but one, at most 8; none where batches do not fit in shared memory."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free < 2 << 30:
        print(f"{memory} is smaller than 2 GB: no loader workers", flush=True)
        return 0
    return max(1, min(8, (os.cpu_count() or 2) - 1))


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the parent of a submodule
        return False


def _machine(device: "torch.device") -> str:
    import torch

    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    return f"{name}, {os.cpu_count()} CPU cores, torch {torch.__version__}"


if __name__ == "__main__":
    main()
