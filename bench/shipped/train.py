"""Train the models of the package: one command, on synthetic images with CC0 photos behind them.

    python -m bench.shipped.train --photos FOLDER --work FOLDER [--steps STEP ...]

``--photos`` holds ``clothing/CLASS/*.jpg``, see ``bench.shipped.photos``. ``--work`` becomes a
workspace: its ``params.yaml`` is the repository's with ``configs/shipped.yaml`` merged in. The steps
run in their order; ``--steps`` runs some, so that detector and landmarker can be trained at the same
time. The last one, ``pack``, writes ``fashion_ops/shipped/models``.
"""

import argparse
import importlib
import shutil
import time
from pathlib import Path
from typing import Any

from bench.shipped.pack import pack
from bench.shipped.photos import divide, link
from fashion_ops.params import Params, load_params
from fashion_ops.params.recipes import configure
from fashion_ops.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "configs" / "shipped.yaml"
STEPS = (
    *("synthesize", "ingest", "aggregate", "pseudo_label"),
    *("train_detector", "tune_postprocess", "train_landmarker"),
)


def main() -> None:
    """Run the steps that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", nargs="+", choices=[*STEPS, "pack"], default=[*STEPS, "pack"])
    args = parser.parse_args()
    ws = Workspace(args.work.resolve())
    if ws.params.exists() and not (ws.root / "data" / "photos").is_dir():
        parser.error(f"{ws.root}: has a params.yaml of another origin; name a new folder by --work")
    ws.root.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "params.yaml", ws.params)
    configure(ws.params, [RECIPE])
    params, sets = load_params(ws.params), divide(args.photos.resolve())
    for step in args.steps:
        start = time.monotonic()
        if step == "synthesize":
            link(sets, ws.root / "data" / "photos")
        metrics = pack(ws, sets) if step == "pack" else run_step(step, params, ws)
        print(step, metrics, f"{time.monotonic() - start:.0f} s", flush=True)


def run_step(step: str, params: Params, ws: Workspace) -> dict[str, float]:
    """Run a step in this process; a training prints the losses of each epoch."""
    module: Any = importlib.import_module(f"fashion_ops.steps.{step}")
    if step not in ("train_detector", "train_landmarker"):
        return module.run(params, ws)
    job = module.prepare(params, ws)
    ws.checkpoints.mkdir(exist_ok=True)
    checkpoint = ws.checkpoints / f"{step}.ckpt"
    start = time.monotonic()

    def on_epoch(done: int, losses: dict[str, float]) -> None:
        values = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
        print(
            f"{step} {done}/{job.config.epochs} {time.monotonic() - start:.0f} s {values}", flush=True
        )

    metrics = module.publish(ws, module.work(job, checkpoint, on_epoch))
    checkpoint.unlink(missing_ok=True)
    return metrics


if __name__ == "__main__":
    main()
