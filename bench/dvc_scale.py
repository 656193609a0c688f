"""``dvc status`` and ``dvc repro`` with nothing to do, from 1/100 of DeepFashion2's size to all of it.

Small synthetic images, as many as in DeepFashion2's train split, in its released layout: once as one
archive and once as a folder of loose files. Every stage has an output (that of ``ingest`` is as large
as the images, in shards) and is recorded, so that DVC has to check the whole pipeline. Each time is the
least processor time of several calls with DVC's start-up, followed by the least wall time.

    python -m bench.dvc_scale [--shares 0.01 0.1 1] [--layouts archive folder] [--calls 3]
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import yaml

ROOT = Path(__file__).parents[1]
IMAGES = 191_961  # of DeepFashion2's train split
SIZE = 24  # side of an image, pixels
DVC = (sys.executable, "-m", "dvc")


def members(share: float) -> Iterator[tuple[str, bytes]]:
    """Path and content of images and labels, in the released layout."""
    rng = np.random.default_rng(0)
    ramps = [rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8) for _ in range(64)]
    images = [cv2.imencode(".jpg", ramp)[1].tobytes() for ramp in ramps]
    for i in range(round(IMAGES * share)):
        yield f"train/image/{i + 1:06d}.jpg", images[i % len(images)]
        yield f"train/annos/{i + 1:06d}.json", label(i)


def label(i: int) -> bytes:
    """The label of one pair of shorts with its ten landmarks."""
    points = [[3 + 2 * (k % 5), 4 + 8 * (k // 5), 2] for k in range(10)]
    item = {
        "segmentation": [[2, 2, 20, 2, 20, 20]],
        "scale": 2,
        "viewpoint": 2,
        "zoom_in": 1,
        "landmarks": [value for point in points for value in point],
        "style": 1,
        "bounding_box": [1, 1, 22, 22],
        "category_id": 7,
        "occlusion": 1,
        "category_name": "shorts",
    }
    return json.dumps({"source": "user", "pair_id": i, "item1": item}).encode()


def write_data(root: Path, layout: str, share: float) -> str:
    """Write the images into the repository; returns the value for ``ingest.root``."""
    target = root / "data" / ("deepfashion2.zip" if layout == "archive" else "deepfashion2")
    if layout == "archive":
        target.parent.mkdir(parents=True)
        with zipfile.ZipFile(target, "w") as archive:
            for name, content in members(share):
                archive.writestr(name, content)
    else:
        for kind in ("image", "annos"):
            (target / "train" / kind).mkdir(parents=True)
        for name, content in members(share):
            (target / name).write_bytes(content)
    return target.relative_to(root).as_posix()


def repository(root: Path, layout: str, share: float) -> None:
    """Set up this repository's pipeline on these images, with every output written and recorded."""
    shutil.copytree(
        ROOT / "fashion_ops", root / "fashion_ops", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("dvc.yaml", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, root / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["ingest"]["root"] = write_data(root, layout, share)
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    subprocess.run([*DVC, "init", "--quiet"], cwd=root, check=True)

    from dvc.repo import Repo

    from fashion_ops.ledger import Ledger

    stages = {stage.name: stage for stage in Repo(str(root)).index.stages}
    for stage in stages.values():
        for path in [Path(dep.fs_path) for dep in stage.deps if dep.def_path.startswith("data/")]:
            if path.suffix and not path.exists():  # one file of a folder that another stage writes
                path.parent.mkdir(parents=True)
                path.write_text(stage.name)
    write_shards(root / "data" / "catalog" / "shards", share)
    ledger = Ledger(root)
    for name in ledger.stages():
        for out in stages[name].outs:
            folder = Path(out.fs_path)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "model.json").write_text(name)
        ledger.commit(name, ledger.snapshot(name))


def write_shards(folder: Path, share: float) -> None:
    """Write as many bytes as the images have in files of 128 MB, the shards of ``ingest``."""
    folder.mkdir(parents=True)
    left, number = sum(len(data) for name, data in members(share) if name.endswith(".jpg")), 0
    rng = np.random.default_rng(0)
    while left > 0:
        size = min(left, 128_000_000)
        (folder / f"{number:05d}.arrow").write_bytes(rng.bytes(size))
        left, number = left - size, number + 1


def seconds(root: Path, calls: int, *command: str) -> tuple[float, float]:
    """Least processor time and least wall time of several calls.

    Raises:
        RuntimeError: the command failed or found something to do.
    """
    work, wall = [], []
    for _ in range(calls):
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([*DVC, *command], cwd=root, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall.append(time.perf_counter() - start)
        work.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if done.returncode or "up to date" not in done.stdout:
            raise RuntimeError(f"dvc {' '.join(command)}: {done.stdout}{done.stderr}")
    return min(work), min(wall)


def main() -> None:
    """Print one row for each layout and size."""
    parser = argparse.ArgumentParser(description="DVC with nothing to do, by size of the data set")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.01, 0.1, 1.0])
    parser.add_argument("--layouts", nargs="+", default=["archive", "folder"])
    parser.add_argument("--calls", type=int, default=3)
    args = parser.parse_args()
    print("| input | images | files | `dvc status` | growth | `dvc repro` | growth |")
    print("|---|---|---|---|---|---|---|")
    for layout in args.layouts:
        first: tuple[float, float] | None = None  # processor times at the smallest size
        for share in args.shares:
            with tempfile.TemporaryDirectory() as scratch:
                root = Path(scratch, "repo")
                root.mkdir()
                repository(root, layout, share)
                status = seconds(root, args.calls, "status")
                repro = seconds(root, args.calls, "repro")
            first = first or (status[0], repro[0])
            images = round(IMAGES * share)
            files = 1 if layout == "archive" else 2 * images
            print(
                f"| {layout} | {images:,} | {files:,} "
                f"| {status[0]:.2f} s ({status[1]:.1f}) | {status[0] / first[0]:.2f}x "
                f"| {repro[0]:.2f} s ({repro[1]:.1f}) | {repro[0] / first[1]:.2f}x |",
                flush=True,
            )


if __name__ == "__main__":
    main()
