"""Landmark AP of COCO files: ``fashion-ops score`` against hotcoco and pycocotools, one run.

    python -m bench.score_files [--garments 3000] [--folder F] [--sides ours one hotcoco pycocotools]

Writes an annotation file of 3,000 garments and a result file of 20 results a garment with 294 keypoints
each, as ``json.dump`` writes them, into a temporary folder, or into ``--folder``, where they
stay and are used again. Then each side is one process, which reads both files and computes the ten
numbers and the AP of each category:

- ``ours`` is the command as installed, with the processes that it starts; ``one`` the same, held to one
  processor;
- ``hotcoco`` and ``pycocotools`` are their own interfaces (``COCO``, ``loadRes``, ``COCOeval``).

Time is that of the whole process by the clock, its imports too; processor time includes the processes
that it started. Memory is the largest sum of resident memory of all of these. The sides take turns
for ``--rounds``; the fastest turn counts. All numbers must agree to 1e-9, or the run fails.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.scoring import make_detections, make_truth
from fashion_ops.taxonomy import CATEGORIES, sigmas

NAMES = "gt.json", "results.json"
EVERY = 0.02  # seconds between samples of memory
Numbers = dict[str, list[float]]


def write_files(folder: Path, garments: int) -> None:
    """Write both files, in the layout of ``json.dump``."""
    rng = np.random.default_rng(0)
    truth = make_truth(rng, garments)
    found = make_detections(rng, truth)
    points: Any = found.points
    rows = zip(
        truth.ids.tolist(),
        truth.image.tolist(),
        truth.category.tolist(),
        truth.boxes.tolist(),
        truth.area.tolist(),
        truth.keypoints.reshape(garments, -1).tolist(),
        strict=True,
    )
    annotations = [
        {"id": i, "image_id": image, "category_id": kind, "bbox": box, "area": area, "iscrowd": 0}
        | {"num_keypoints": sum(v > 0 for v in keypoints[2::3]), "keypoints": keypoints}
        for i, image, kind, box, area, keypoints in rows
    ]
    images = [{"id": i} for i in truth.image_ids.tolist()]
    categories = [{"id": c.id, "name": c.name} for c in CATEGORIES]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / NAMES[0]).write_text(json.dumps(content))
    ids = zip(found.image.tolist(), found.category.tolist(), found.score.tolist(), strict=True)
    with (folder / NAMES[1]).open("w") as file:
        for n, (image, kind, score) in enumerate(ids):
            keypoints = points.keypoints[n].ravel().tolist()
            row = {"image_id": image, "category_id": kind, "score": score, "keypoints": keypoints}
            file.write((", " if n else "[") + json.dumps(row))
        file.write("]")


def by_hotcoco(annotations: str, results: str) -> Numbers:
    """The numbers by hotcoco."""
    import hotcoco

    truth = hotcoco.COCO(annotations)
    evaluator = hotcoco.COCOeval(truth, truth.load_res(results), "keypoints")
    params = evaluator.params
    params.kpt_oks_sigmas, params.max_dets = sigmas().tolist(), [20]
    evaluator.params = params
    evaluator.run()
    table: Any = evaluator.eval
    precision = np.reshape(table["precision"], table["counts"])[:, :, :, 0, 0]
    each = [precision[:, :, k] for k in range(precision.shape[2])]
    means = [float(v[v > -1].mean()) if (v > -1).any() else -1.0 for v in each]
    return {"stats": np.asarray(evaluator.stats).tolist(), "per_category": means}


def by_pycocotools(annotations: str, results: str) -> Numbers:
    """The numbers by stock pycocotools."""
    from pycocotools.coco import COCO

    from fashion_ops.evaluation.official import evaluate_official

    truth = COCO(annotations)
    stats, per_category = evaluate_official(truth, truth.loadRes(results))
    return {"stats": list(stats.values()), "per_category": list(per_category.values())}


PEERS: dict[str, Callable[[str, str], Numbers]] = {"hotcoco": by_hotcoco, "pycocotools": by_pycocotools}


def run_side(side: str, folder: Path) -> tuple[dict[str, float], Numbers]:
    """Run one side as a process; returns what it needed, and its numbers."""
    files = [str(folder / name) for name in NAMES]
    command = [sys.executable, "-m", "bench.score_files", "--side", side, "--folder", str(folder)]
    if side in ("ours", "one"):
        command = [sys.executable, "-m", "fashion_ops.cli", "score", "--json"]
        command += ["--annotations", files[0], "--predictions", files[1]]
    held = (lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})) if side == "one" else None
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=held)
    peak = [0]
    sampler = threading.Thread(target=_sample, args=(process.pid, peak), daemon=True)
    sampler.start()
    assert process.stdout
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{side} ended with {process.returncode}")
    numbers = json.loads(output[output.index("{") :])
    needed = {
        "seconds": seconds,
        "processor": usage.ru_utime + usage.ru_stime,
        "GB": max(peak[0], 1024 * usage.ru_maxrss) / 1e9,
    }
    each = numbers.get("per_category") or list(numbers["per_category_AP"].values())
    return needed, {"stats": numbers["stats"], "per_category": each}


def _sample(pid: int, peak: list[int]) -> None:
    """Keep the largest sum of resident memory of a process and its children, until it ends."""
    try:
        process = psutil.Process(pid)
        while process.status() != psutil.STATUS_ZOMBIE:
            used = 0
            for each in (process, *process.children(recursive=True)):
                try:
                    used += each.memory_info().rss
                except psutil.Error:
                    continue
            peak[0] = max(peak[0], used)
            time.sleep(EVERY)
    except psutil.Error:
        return


def compare(folder: Path, sides: list[str], rounds: int) -> None:
    """Run all sides in turn and print what each needed."""
    size = sum((folder / name).stat().st_size for name in NAMES)
    print(f"{size / 1e6:.0f} MB of JSON; {len(os.sched_getaffinity(0))} processors")
    best: dict[str, dict[str, float]] = {}
    numbers: dict[str, np.ndarray] = {}
    for _ in range(rounds):
        for side in sides:
            needed, found = run_side(side, folder)
            numbers[side] = np.array([*found["stats"], *found["per_category"]])
            if side not in best or needed["seconds"] < best[side]["seconds"]:
                best[side] = needed
    for side, needed in best.items():
        print(
            f"{side}: {needed['seconds']:.2f} s, {needed['processor']:.2f} s of processors, "
            f"{needed['GB']:.2f} GB, {needed['seconds'] / best[sides[0]]['seconds']:.1f}x"
        )
    difference = max(float(np.abs(numbers[side] - numbers[sides[0]]).max()) for side in sides)
    print("  ".join(f"{value:.4f}" for value in numbers[sides[0]][:10]))
    print(f"largest difference: {difference:.1e}")
    if difference > 1e-9:
        raise SystemExit("the numbers differ")


def main() -> None:
    """Write the files and compare, or be one side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--garments", type=int, default=3000, help="number of garments")
    parser.add_argument("--folder", type=Path, help="where the files are or will be")
    parser.add_argument(
        "--sides",
        nargs="+",
        default=["ours", "one", "hotcoco", "pycocotools"],
        choices=["ours", "one", *PEERS],
        help="whom to compare; ratios are to the first",
    )
    parser.add_argument("--rounds", type=int, default=1, help="turns of each side")
    parser.add_argument("--side", choices=PEERS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.side:
        files = [str(chosen.folder / name) for name in NAMES]
        print(json.dumps(PEERS[chosen.side](*files)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        if not all((folder / name).exists() for name in NAMES):
            write_files(folder, chosen.garments)
        compare(folder, chosen.sides, chosen.rounds)


if __name__ == "__main__":
    main()
