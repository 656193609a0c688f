"""Bulk prediction by local Ray against plain processes, and its memory from 1,000 to 50,000 photos.

Speed: the same photos and models in one process on one core, in two plain processes on two cores, and
by ``map_blocks`` on the same two cores. Loading is left out: rates are from the first blocks on. On a
busy machine the processor time, which includes Ray's own processes, says more than the rates.

Memory: tiny photos and a stand-in for the models; what the driver and its actors hold themselves,
without the object store, after 1,000 photos and at the end.

    python -m bench.bulk [--models models] [--photos data/raw/validation/image] [--number 240]
    python -m bench.bulk --memory [--number 50000]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from bench.processor_time import Meter
from fashion_ops.commands.bulk import LoadModels, Model
from fashion_ops.distributed.map_blocks import map_blocks
from fashion_ops.distributed.payload import as_arrays
from fashion_ops.inference.bulk.blocks import Block, BlockPredictor
from fashion_ops.inference.bulk.listing import Listed, list_photos
from fashion_ops.inference.bulk.manifest import Identity
from fashion_ops.inference.bulk.reading import PhotoReader
from fashion_ops.inference.bulk.run import bulk_run
from fashion_ops.params import Distributed

BLOCK = 16  # photos, the least of a run
SETTINGS = Distributed()


def blocks_of(photos: list[Listed]) -> list[tuple[str, Block]]:
    """The photos in blocks."""
    starts = range(0, len(photos), BLOCK)
    return [(str(at), Block(at + 1, photos[at : at + BLOCK])) for at in starts]


def load_models(models: Path) -> LoadModels:
    """What loads the models in a process."""
    files = Model("bench", models, "torch", 0.3).files()
    return LoadModels(as_arrays(files), str(models), "torch", 0.3, SETTINGS.device)


def chosen(folder: Path, number: int) -> list[Listed]:
    """That many photos of a folder; they repeat where it has fewer."""
    photos = list(list_photos([str(folder)]))
    return [photos[n % len(photos)] for n in range(number)]


def child(args: argparse.Namespace) -> None:
    """One plain process on one core: prints when each of its blocks is done."""
    worker, of = map(int, args.child.split("/"))
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[worker]})
    predict = load_models(args.models)()
    for _, block in blocks_of(chosen(args.photos, args.number))[worker::of]:
        predict(block)
        print(json.dumps(time.time()), flush=True)


def plain(args: argparse.Namespace, processes: int) -> list[float]:
    """When each block was done by plain processes."""
    command = [sys.executable, "-m", "bench.bulk", "--models", str(args.models)]
    command += ["--photos", str(args.photos), "--number", str(args.number)]
    children = [
        subprocess.Popen([*command, "--child", f"{n}/{processes}"], stdout=subprocess.PIPE, text=True)
        for n in range(processes)
    ]
    return sorted(json.loads(line) for c in children for line in c.communicate()[0].splitlines())


def by_ray(args: argparse.Namespace) -> list[float]:
    """When each block was done by Ray's actors."""
    blocks = blocks_of(chosen(args.photos, args.number))
    return [time.time() for _ in map_blocks(blocks, load_models(args.models), SETTINGS, step="bench")]


def speed(args: argparse.Namespace) -> None:
    """Print rates and processor time of the three."""
    cores = len(os.sched_getaffinity(0))
    rows: dict[str, tuple[float, float]] = {}
    variants: dict[str, tuple[int, Callable[[], list[float]]]] = {
        "one process, one core": (1, lambda: plain(args, 1)),
        "two processes, two cores": (2, lambda: plain(args, 2)),
        f"Ray Data, {cores} cores": (cores, lambda: by_ray(args)),
    }
    print(f"| {args.number} photos | photos/s | processor ms a photo |\n|---|---|---|")
    for name, (workers, run) in variants.items():
        with Meter() as meter:
            done = run()
            time.sleep(0.5)
        first, last = done[workers - 1], done[-1]
        photos = (len(done) - workers) * BLOCK
        rows[name] = photos / (last - first), meter.between(first, last) / photos
        print(f"| {name} | {rows[name][0]:.2f} | {1000 * rows[name][1]:.0f} |", flush=True)
    one, two, ray = rows.values()
    print(f"Ray against one process: {ray[0] / one[0]:.2f} x; against two: {ray[0] / two[0]:.2f} x")
    print(f"processor time a photo, two processes against Ray: {two[1] / ray[1]:.2f}")


def own_bytes(process: psutil.Process) -> int:
    """Bytes that a process holds itself, without shared memory."""
    memory = process.memory_info()
    return memory.rss - memory.shared


def memory(number: int) -> None:
    """Print what the driver and the largest actor hold as the number of photos grows."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import bulk_photos
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(bulk_photos)

    def load() -> BlockPredictor:
        return BlockPredictor(bulk_photos.MeanPredictor(), PhotoReader(), 0.0, 8)

    marks = [n for n in (1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000) if n < number] + [number]
    with tempfile.TemporaryDirectory() as scratch:
        paths = bulk_photos.write_photos(Path(scratch, "photos"), 1000)
        names = [str(paths[n % len(paths)]) for n in range(number)]
        source = Path(scratch, "names.parquet")
        pq.write_table(pa.table({"path": names}), source)
        del names
        done = 0

        def compute(blocks: Iterator[tuple[str, Block]]) -> Iterator[tuple[str, bytes]]:
            return map_blocks(blocks, load, SETTINGS, step="bench")

        def advance(photos: int) -> None:
            nonlocal done
            done += photos
            if marks and done >= marks[0]:
                marks.pop(0)
                tree = psutil.Process().children(recursive=True)
                actors = [own_bytes(p) for p in tree if "MapWorker" in p.name() + str(p.cmdline())]
                driver = own_bytes(psutil.Process())
                print(f"| {done} | {driver >> 20} | {max(actors, default=0) >> 20} |", flush=True)

        print("| photos | driver, MiB | largest actor, MiB |\n|---|---|---|")
        with bulk_run(Path(scratch, "out"), Identity([str(source)], "mean", "1", {})) as run:
            run.compute(compute, advance)
            run.finish(coco=True)
        print(f"COCO file written; driver {own_bytes(psutil.Process()) >> 20} MiB")


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--photos", type=Path, default=Path("data/raw/validation/image"))
    parser.add_argument("--number", type=int)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory:
        memory(args.number or 50_000)
        return
    args.number = args.number or 240
    (child if args.child else speed)(args)


if __name__ == "__main__":
    main()
