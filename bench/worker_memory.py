"""Memory of a worker: it holds its process, the model and one chunk of images, not all images.

``python -m bench.worker_memory [--megabytes 32 512]`` runs jobs with as many MB of images on a local
Ray. It prints the largest growth of private memory (RssAnon, sampled) of worker and driver, with images
sent by chunks and, for comparison, by value.
"""

import argparse
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa

import fashion_ops.distributed.fan_out as distributed
from fashion_ops.catalog.training_data import LAYOUT, ImageReader
from fashion_ops.distributed.cluster import start_ray
from fashion_ops.params import Distributed

IMAGE = 100_000  # bytes, as DeepFashion2's
A_CHUNK = 128


class Noise:
    """Chunks of incompressible images, in place of ``ImageChunks``."""

    def __init__(self, megabytes: int, a_chunk: int) -> None:
        self.count, self.a_chunk = megabytes * 1_000_000 // IMAGE, a_chunk

    def __len__(self) -> int:
        return -(-self.count // self.a_chunk)

    def __getitem__(self, index: int) -> pa.Table:
        ids = list(range(index * self.a_chunk, min((index + 1) * self.a_chunk, self.count)))
        random = np.random.default_rng(index)
        return pa.table([ids, [random.bytes(IMAGE) for _ in ids]], schema=LAYOUT)


def private() -> int:
    """Private memory of this process, bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon in /proc/self/status")


class Peak:
    """Context manager that samples the largest ``private`` of its block."""

    def __enter__(self) -> "Peak":
        self.start = self.most = private()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()
        return self

    def _sample(self) -> None:
        while not self.done.wait(0.005):
            self.most = max(self.most, private())

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()
        self.most = max(self.most, private())


@dataclass(frozen=True)
class ReadJob:
    """Images to read, all in one chunk if ``by_value``."""

    by_value: bool
    images: Any  # chunks as of ``ImageChunks``


def read_all(job: ReadJob, checkpoint: Path | None, on_epoch: Any) -> tuple[int, int]:
    """Read all images as a training run does; memory before and at the peak, bytes."""
    assert checkpoint is not None
    with Peak() as peak:
        if job.by_value:
            column = pa.concat_tables(list(job.images))["bytes"]
            images = [column[i].as_py() for i in range(len(column))]
        else:
            reader = ImageReader(job.images, checkpoint.parent)
            images = [len(reader._bytes[i].as_py()) for i in range(len(reader._bytes))]
        del images
    return peak.start, peak.most


def main() -> None:
    """Run all sizes by chunks and by value, and print a table."""
    parser = argparse.ArgumentParser("python -m bench.worker_memory", description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[32, 512])
    args = parser.parse_args()
    os.environ.pop("RAY_ADDRESS", None)
    os.environ.setdefault("RAY_AUTH_TOKEN", "bench")
    start_ray("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    rows = []
    for by_value in (False, True):
        for megabytes in args.megabytes:
            noise = Noise(megabytes, megabytes * 1_000_000 // IMAGE if by_value else A_CHUNK)
            jobs = [
                distributed.Job(
                    "job",
                    "job",
                    1,
                    lambda n=noise, v=by_value: ReadJob(v, [n[0]] if v else n),
                    None if by_value else "images",
                )
            ]
            results: dict[str, Any] = {}
            start = time.monotonic()
            with Peak() as driver, tempfile.TemporaryDirectory() as folder:
                distributed.fan_out(
                    "bench", jobs, read_all, results.__setitem__, Distributed(), Path(folder)
                )
            before, most = results["job"]
            rows.append(
                (
                    "by value" if by_value else "by chunks",
                    megabytes,
                    (most - before) / 1e6,
                    (driver.most - driver.start) / 1e6,
                    time.monotonic() - start,
                )
            )
    print(f"{'':10} {'images':>9} {'worker':>10} {'driver':>10} {'time':>8}")
    for transport, megabytes, worker, driver_mb, seconds in rows:
        print(
            f"{transport:10} {megabytes:6d} MB {worker:+7.0f} MB {driver_mb:+7.0f} MB {seconds:6.1f} s"
        )


if __name__ == "__main__":
    main()
