"""What photos chosen by ``fashion-ops select`` teach, beside photos drawn at random.

    python -m bench.select --detector FOLDER [--images 1200] [--validation 250] [--size 128]
        [--backbone hrnet_w8_tiny] [--crop 64x64] [--steps 400] [--seeds 0,1,2] [--prior]
        [--work FOLDER] [--out FILE.md]

A wardrobe is drawn, whose training photos count as unlabelled. Labels are counted in garments. For each
seed, a landmarker learns from 4 % of them, drawn at random. It sees the other photos in the boxes of
``--detector`` (the model of another wardrobe) and ranks them, and a new landmarker learns from the 4 %
and the first photos of the ranking, 10 % in all. The others learn from 10 % and 15 % drawn at random,
the 4 % among them. Every landmarker takes the same number of steps. AP is that of all validation
garments in labelled boxes. ``--prior`` ranks by the deviations of a shape prior instead of the entropy
of heatmaps. What is done stays in ``--work``, and a run started again goes on there.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import torch

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import TrainingGarments, load_garments
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.files.publishing import publish, write_whole
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.inference.predictions import landmarks_with
from fashion_ops.inference.predictor import Predictor
from fashion_ops.inference.selection import labelled_rows, rank_seen, see
from fashion_ops.methods.centernet.deploy.photo import Photo
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.describe import parse_size
from fashion_ops.methods.parts.blocks import loaded
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.methods.top_down.inference import LandmarkPredictor, build
from fashion_ops.methods.top_down.training import landmarker_spec, train_landmarker
from fashion_ops.params import Params, TrainLandmarker
from fashion_ops.steps import aggregate, ingest, synthesize
from fashion_ops.workspace import Workspace

CPU = torch.device("cpu")
START, CHOSEN, MORE = 0.04, 0.10, 0.15  # shares of the labels
ARMS = ("selected 10 %", "random 10 %", "random 15 %")
WARDROBE = 100  # its seed; that of the demo's is 0
MIN_SCORE = 0.2  # of a detected garment, as in ``fashion-ops select``
TOGETHER = 16  # photos


@dataclass(frozen=True)
class Wardrobe:
    """Photos and labels, and how the landmarkers of a seed learn from some of them."""

    ws: Workspace
    config: TrainLandmarker
    steps: int
    seed: int

    @classmethod
    def drawn(cls, folder: Path, args: argparse.Namespace, seed: int) -> "Wardrobe":
        """Draw the wardrobe, or open the one that is there; landmarkers learn by ``seed``."""
        ws = Workspace(folder)
        section = {"train": args.images, "validation": args.validation, "size": args.size}
        params = Params.model_validate(
            {"seed": WARDROBE, "synthesize": section, "ingest": {"root": str(ws.raw)}}
        )
        for step, made in ((synthesize, ws.raw), (ingest, ws.catalog), (aggregate, ws.grouped)):
            if not made.is_dir():
                step.run(params, ws)
        config = TrainLandmarker(
            backbone=args.backbone,
            crop=parse_size(args.crop),
            decode_prior=args.prior,
            pseudo_label_weight=0.0,
        )
        return cls(ws, config, args.steps, seed)

    def learn(self, name: str, rows: np.ndarray) -> LandmarkPredictor:
        """A landmarker that learned from these garments (positions among those of training)."""
        folder = self.ws.root / "models" / f"{name}-{self.seed}"
        if not folder.is_dir():
            _, garments = load_garments(self.ws, "train")
            few = garments.take(rows)
            epochs = max(round(self.steps * self.config.batch_size / len(few)), 1)
            config = self.config.model_copy(update={"epochs": epochs})
            spec = landmarker_spec(config, "agg81", 0)
            torch.manual_seed(self.seed)
            catalog = Catalog(self.ws.catalog)
            with publish(folder) as fresh:
                options = TrainerOptions(device="cpu")
                train_landmarker(
                    config, build(spec), spec, few, catalog.image, fresh, options, seed=self.seed
                )
        return LandmarkPredictor.load(folder, CPU)

    def score(self, model: LandmarkPredictor) -> float:
        """AP of the validation garments in labelled boxes."""
        catalog = Catalog(self.ws.catalog)
        images = catalog.images[catalog.images["split"] == "validation"]
        garments = catalog.garments[catalog.garments["split"] == "validation"]
        models = loaded([LandmarkPipeline(model, {}, {})])
        tables = landmarks_with(models, catalog, {"truth": garments}, variants=("universal",))
        found = detections(tables["truth"]["universal"], images)
        return score_landmarks(ground_truth(images, garments), found, max_detections=20).stats["AP"]


def random_order(garments: TrainingGarments, seed: int) -> list[int]:
    """The photos in a random order."""
    rng = np.random.default_rng([seed, 18])
    return rng.permutation(np.unique(garments.image_id)).tolist()


def until(order: list[int], garments: TrainingGarments, share: float) -> np.ndarray:
    """The garments of the first photos of an order that hold this share of the labels."""
    counts = {i: int(n) for i, n in zip(*np.unique(garments.image_id, return_counts=True), strict=True)}
    chosen, labels = [], 0
    for image_id in order:
        if labels >= share * len(garments):
            break
        chosen.append(image_id)
        labels += counts[image_id]
    return np.flatnonzero(np.isin(garments.image_id, chosen))


def selected_order(wardrobe: Wardrobe, detector: Detector, start: np.ndarray) -> list[int]:
    """The photos in the order of ``fashion-ops select``, those of ``start`` first."""
    rows, garments = load_garments(wardrobe.ws, "train")
    landmarker = wardrobe.learn("start", start)
    predictor = Predictor(detector, LandmarkPipeline(landmarker, {}, {}))
    first = list(dict.fromkeys(garments.image_id[start].tolist()))
    left = [i for i in dict.fromkeys(garments.image_id.tolist()) if i not in set(first)]
    catalog = Catalog(wardrobe.ws.catalog)
    seen = [
        s
        for part in _parts(left)
        for s in see(predictor, _photos(catalog, part), MIN_SCORE, "universal")
    ]
    ranked = rank_seen(seen, labelled_rows(rows.iloc[start]))
    return [*first, *(left[n] for n in ranked.order.tolist())]


def _parts(ids: list[int]) -> Iterator[list[int]]:
    yield from (ids[at : at + TOGETHER] for at in range(0, len(ids), TOGETHER))


def _photos(catalog: Catalog, ids: list[int]) -> list[Photo]:
    images = [catalog.image(i) for i in ids]
    return [Photo(image, (image.shape[1], image.shape[0])) for image in images]


def measure(args: argparse.Namespace, seed: int, detector: Detector) -> dict[str, float]:
    """AP and the number of labels of each arm for one seed."""
    wardrobe = Wardrobe.drawn(args.work / "wardrobe", args, seed)
    _, garments = load_garments(wardrobe.ws, "train")
    order = random_order(garments, seed)
    start = until(order, garments, START)
    arms = {
        ARMS[0]: until(selected_order(wardrobe, detector, start), garments, CHOSEN),
        ARMS[1]: until(order, garments, CHOSEN),
        ARMS[2]: until(order, garments, MORE),
    }
    result: dict[str, float] = {"start": wardrobe.score(wardrobe.learn("start", start))}
    for name, rows in arms.items():
        result[name] = wardrobe.score(wardrobe.learn(name.replace(" %", "").replace(" ", "-"), rows))
        result[f"{name}, labels"] = len(rows)
        print(f"seed {seed}: {name}: AP {result[name]:.4f}, {len(rows)} labels", flush=True)
    return result


def table(results: dict[int, dict[str, float]]) -> str:
    """The results of all seeds as Markdown, and the first arm less the last."""
    lines = [
        "| seed | 4 % | " + " | ".join(ARMS) + " | selected 10 % - random 15 % |",
        "|---" * 6 + "|",
    ]
    differences = []
    for seed, result in results.items():
        differences.append(result[ARMS[0]] - result[ARMS[2]])
        values = [f"{result['start']:.4f}"]
        values += [f"{result[a]:.4f} ({result[f'{a}, labels']:.0f})" for a in ARMS]
        lines.append(f"| {seed} | " + " | ".join(values) + f" | {differences[-1]:+.4f} |")
    means = [np.mean([r[a] for r in results.values()]) for a in ("start", *ARMS)]
    middle = " | ".join(f"{m:.4f}" for m in means)
    lines.append(f"| mean | {middle} | {np.mean(differences):+.4f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure all seeds, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--detector", type=Path, required=True, help="models/detector of a workspace")
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--validation", type=int, default=250)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--backbone", default="hrnet_w8_tiny")
    parser.add_argument("--crop", default="64x64")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--prior", action="store_true")
    parser.add_argument("--work", type=Path, default=Path("outputs/select"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    detector = Detector.load(args.detector, CPU).without_landmark_scores()
    results = {}
    for seed in map(int, args.seeds.split(",")):
        file = args.work / f"seed-{seed}.json"
        if not file.is_file():
            write_whole(file, orjson.dumps(measure(args, seed, detector)))
        results[seed] = orjson.loads(file.read_bytes())
    text = table(results)
    if args.out is None:
        print(text)
    else:
        write_whole(args.out, text.encode())


if __name__ == "__main__":
    main()
