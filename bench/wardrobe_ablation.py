"""What the wardrobe's editions teach a landmarker about real photos: an ablation.

    python -m bench.wardrobe_ablation --labels FILE [--photos FOLDER] [--out FOLDER] [--seeds 0,1,2]
        [--images 1500] [--garments 2000] [--epochs 4] [--validation 150] [--crop 96x128]

Each arm draws a wardrobe (seed 0), takes ``--garments`` of its garments, the same number for all, and
trains the demo's universal landmarker for ``--epochs``: equal steps. Each model is evaluated with
ground-truth boxes on the labelled real photos of ``--labels``, a COCO file as DeepFashion2's converter
writes it, and on the validation images of both editions. ``--photos``, a folder of photos without
labels, adds an arm whose backgrounds are cut from it. The first row is the mean shape of the
first edition, which looks at no pixel.

The table has the mean OKS over the garments and the seeds. Its interval comes from 2,000 bootstrap
resamples of the photos (``bench.resampled_oks``), of the differences with paired photos. Wardrobes,
models and their scores stay in ``--out``: a run that is started again goes on where it was stopped.
"""

import argparse
import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import torch

from bench.resampled_oks import resampled, write_table
from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import TrainingGarments, load_garments, used_grouping
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.garment_oks import garment_oks
from fashion_ops.evaluation.mean_shape import fit_mean_shape, predict_mean_shape
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.files.publishing import publish, write_whole
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.inference.predictions import landmarks_with
from fashion_ops.methods.describe import parse_size
from fashion_ops.methods.parts.blocks import loaded
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import landmarker_spec, train_landmarker
from fashion_ops.params import Params, TrainLandmarker
from fashion_ops.steps import aggregate, ingest, synthesize
from fashion_ops.workspace import Workspace

FIRST, SECOND = "edition 1", "edition 2"
MEAN_SHAPE = "mean shape"
CPU = torch.device("cpu")


def arms(photos: str | None) -> dict[str, dict[str, Any]]:
    """The keys of ``synthesize`` of each arm, by its name."""
    out: dict[str, dict[str, Any]] = {FIRST: {"edition": 1}, SECOND: {"edition": 2}}
    if photos is not None:
        out[f"{SECOND}, photos behind"] = {"edition": 2, "backgrounds": photos}
    return out


def folder_of(out: Path, *parts: Any) -> Path:
    """A folder named after what decides its content."""
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    return out / f"{str(parts[0]).replace(', ', '-').replace(' ', '_')}-{digest}"


def drawn(folder: Path, section: dict[str, Any]) -> Workspace:
    """A workspace with a wardrobe's catalog; draws it if it is missing."""
    ws = Workspace(folder)
    params = {
        "synthesize": section,
        "ingest": {"root": str(ws.raw)},
        "distributed": {"workers": 1},
    }
    return _cataloged(ws, params, (synthesize, ingest, aggregate))


def labelled(folder: Path, labels: Path) -> Workspace:
    """A workspace with the catalog of a COCO label file; reads it if it is missing."""
    params = {
        "ingest": {"source": "coco", "root": str(labels), "max_quarantined": 0.2},
        "distributed": {"workers": 1},
    }
    return _cataloged(Workspace(folder), params, (ingest, aggregate))


def _cataloged(ws: Workspace, params: dict[str, Any], steps: tuple[Any, ...]) -> Workspace:
    if not (ws.grouped / "grouping.json").is_file():
        for step in steps:
            step.run(Params.model_validate(params), ws)
    return ws


def train(
    ws: Workspace, garments: TrainingGarments, config: TrainLandmarker, seed: int, folder: Path
) -> None:
    """Train a landmarker into ``folder``, or go on with one that was stopped."""
    grouping = used_grouping(ws)
    checkpoint = folder.with_suffix(".ckpt")
    torch.manual_seed(seed)
    model = Landmarker(config.backbone, grouping.num_groups)
    with publish(folder) as new:
        train_landmarker(
            config,
            model,
            landmarker_spec(config, grouping.name, 0),
            garments,
            Catalog(ws.catalog).image,
            new,
            TrainerOptions(checkpoint=checkpoint, device="cpu"),
            seed=seed,
        )
    checkpoint.unlink(missing_ok=True)


def rows(ws: Workspace, split: str) -> tuple[Catalog, pd.DataFrame, pd.DataFrame]:
    """A catalog, and its images and labelled garments of a split."""
    catalog = Catalog(ws.catalog)
    images, garments = (table[table["split"] == split] for table in (catalog.images, catalog.garments))
    return catalog, images, garments[garments["num_labelled"] > 0]


def scored(images: pd.DataFrame, garments: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, Any]:
    """AP and mean OKS of predictions, and the OKS of each garment with its image."""
    truth, found = ground_truth(images, garments), detections(predictions, images)
    oks = garment_oks(garments, predictions)
    return {
        "AP": score_landmarks(truth, found).stats["AP"],
        "OKS": float(oks.mean()),
        "garments": oks.tolist(),
        "images": garments["image_id"].to_list(),
    }


def evaluate(folder: Path, sets: dict[str, tuple[Workspace, str]]) -> dict[str, Any]:
    """Scores of the model in ``folder`` on each set, with ground-truth boxes."""
    models = loaded([LandmarkPipeline(LandmarkPredictor.load(folder, CPU), {}, {})])
    out = {}
    for name, (ws, split) in sets.items():
        catalog, images, garments = rows(ws, split)
        tables = landmarks_with(models, catalog, {name: garments}, variants=("universal",))
        out[name] = scored(images, garments, tables[name]["universal"])
    return out


def mean_shape(ws: Workspace, sets: dict[str, tuple[Workspace, str]]) -> dict[str, Any]:
    """Scores of the mean shape of a wardrobe's training garments on each set."""
    shapes = fit_mean_shape(rows(ws, "train")[2])
    out = {}
    for name, (other, split) in sets.items():
        _, images, garments = rows(other, split)
        out[name] = scored(images, garments, predict_mean_shape(shapes, garments))
    return out


def run(given: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Draw, train and evaluate what is missing; scores of each arm by seed.

    Raises:
        ValueError: a wardrobe has fewer garments than requested.
    """
    out = given.out.resolve()
    photos = None if given.photos is None else str(given.photos.resolve())
    size = {"train": given.images, "validation": given.validation, "size": given.size}
    sections = {name: {**size, **keys} for name, keys in arms(photos).items()}
    draw = {n: partial(drawn, folder_of(out, n, s), s) for n, s in sections.items()}
    labels = given.labels.resolve()
    sets = {
        "photos": (labelled(folder_of(out, "photos", str(labels)), labels), "train"),
        FIRST: (draw[FIRST](), "validation"),
        SECOND: (draw[SECOND](), "validation"),
    }
    config = TrainLandmarker(epochs=given.epochs, crop=given.crop)
    scores: dict[str, list[dict[str, Any]]] = {MEAN_SHAPE: [mean_shape(sets[FIRST][0], sets)]}
    for seed in given.seeds:
        for name in sections:
            ws = draw[name]()
            _, garments = load_garments(ws, "train")
            if len(garments) < given.garments:
                raise ValueError(
                    f"{name}: {len(garments)} garments on {given.images} images, --garments "
                    f"{given.garments} expected; raise --images"
                )
            order = np.sort(np.random.default_rng(0).permutation(len(garments))[: given.garments])
            decisive = (name, sections[name], config, given.garments, seed)
            folder = folder_of(out, f"{name} seed {seed}", decisive)
            result = folder.with_suffix(".json")
            if not result.is_file():
                if not folder.is_dir():
                    train(ws, garments.take(order), config, seed, folder)
                write_whole(result, orjson.dumps(evaluate(folder, sets)))
            scores.setdefault(name, []).append(orjson.loads(result.read_bytes()))
            print(f"{name}, seed {seed}: OKS {scores[name][-1]['photos']['OKS']:.3f}", flush=True)
    return scores


def seeds(text: str) -> list[int]:
    """Seeds of an argument such as 0,1,2."""
    return [int(seed) for seed in text.split(",")]


def main() -> None:
    """Run the ablation and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="COCO file beside its images")
    parser.add_argument("--photos", type=Path, help="folder of photos for backgrounds")
    parser.add_argument("--out", type=Path, default=Path("reports/ablations/wardrobe"))
    parser.add_argument("--seeds", type=seeds, default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--garments", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--validation", type=int, default=150)
    parser.add_argument("--crop", type=parse_size, default=(96, 128), help="WIDTHxHEIGHT, pixels")
    parser.add_argument("--size", type=int, default=256)
    given = parser.parse_args()
    scores = run(given)
    table = write_table(resampled(scores, FIRST), FIRST)
    write_whole(given.out / "table.md", table.encode())
    print(table)


if __name__ == "__main__":
    main()
