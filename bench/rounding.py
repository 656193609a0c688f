"""How far predictions of the same models are apart when only the arithmetic differs.

    python -m bench.rounding [--root .] [--images 32]

Predicts the start of the validation split of a finished workspace (`make demo`) with one thread of the
CPU, then with two threads, with another instruction set and in bf16, each in a process of its own, and
prints what the gate of ``promote`` measures. Its tolerances have to lie above, and below what another
model gives: the last row leaves the refinement out.
"""

import argparse
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from fashion_ops.catalog.reader import Catalog
from fashion_ops.inference.deviation import deviation
from fashion_ops.inference.predictions import BOX_KINDS
from fashion_ops.params import load_params
from fashion_ops.workspace import Workspace

OTHER_CPU = {"ATEN_CPU_CAPABILITY": "default", "DNNL_MAX_CPU_ISA": "SSE41"}
VARIANTS = {
    "two threads": ("2", "auto", {}),
    "another instruction set": ("1", "auto", OTHER_CPU),
    "bf16": ("1", "bf16", {}),
}


def main() -> None:
    """Predict with each variant, and print one line for each kind of boxes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(), help="a finished workspace")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--predict", nargs=2, metavar=("THREADS", "OUT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.predict:
        return predict(args.root, args.images, int(args.predict[0]), Path(args.predict[1]))
    with tempfile.TemporaryDirectory() as scratch:
        first = in_process(args.root, args.images, Path(scratch), "1", "auto", {})
        images, garments = evaluated(args.root, args.images)
        compare = partial(deviation, images=images, garments=garments, max_detections=20)
        for name, variant in VARIANTS.items():
            made = in_process(args.root, args.images, Path(scratch), *variant)
            for kind in BOX_KINDS:
                found = compare(first[kind]["refined"], made[kind]["refined"])
                print(f"{name}, {kind}: {found}", flush=True)
        for kind in BOX_KINDS:
            found = compare(first[kind]["refined"], first[kind]["finetuned"])
            print(f"without refinement, {kind}: {found}", flush=True)
    return None


def evaluated(root: Path, count: int) -> tuple:
    """The first images of the validation split, and the garments on them."""
    catalog = Catalog(root / "data" / "catalog")
    images = catalog.images[catalog.images["split"] == "validation"].iloc[:count]
    return images, catalog.garments[catalog.garments["image_id"].isin(images["image_id"])]


def in_process(
    root: Path, count: int, scratch: Path, threads: str, precision: str, env: dict[str, str]
) -> dict:
    """Predictions of a process with these threads, precision and environment, by kind of boxes."""
    copy, out = scratch / f"models-{precision}", scratch / "out"
    if not copy.exists():
        shutil.copytree(root / "models", copy / "models")
        (copy / "data").symlink_to((root / "data").resolve())
        shutil.copy(root / "params.yaml", copy)
        for path in copy.rglob("model.json"):
            spec = json.loads(path.read_text())
            path.write_text(json.dumps({**spec, "precision": precision}))
    command = [sys.executable, "-m", "bench.rounding", "--root", str(copy), "--images", str(count)]
    command += ["--predict", threads, str(out)]
    subprocess.run(command, check=True, env=os.environ | env)
    return pickle.loads(out.read_bytes())


def predict(root: Path, count: int, threads: int, out: Path) -> None:
    """Write the pickled predictions on the first images to ``out``."""
    import torch

    from fashion_ops.inference.evaluated_models import predict_models
    from fashion_ops.methods.parts.blocks import LocalRunner

    torch.set_num_threads(threads)
    ws, open_runner = Workspace(root), partial(LocalRunner, device="cpu")
    params = load_params(ws.params)
    rows = evaluated(root, count)
    made = predict_models(params.evaluate, ws, Catalog(ws.catalog), *rows, open_runner)
    out.write_bytes(pickle.dumps({kind: getattr(made, kind) for kind in BOX_KINDS}))


if __name__ == "__main__":
    main()
