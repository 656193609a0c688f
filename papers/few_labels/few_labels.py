"""Table ``few_labels``: AP and OKS on held-out photos after 0 to 50 labelled ones of the same sets.

Photos are dealt into four folds; the labels of a fold come from the other three, n of them for each n,
nested. What the folds' models predict for their held-out photos is scored together. Predictions are
kept in ``.checkpoints/few_labels/DIGEST``, so that an interrupted comparison goes on.
"""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fashion_ops.catalog.training_data import load_garments, used_grouping
from fashion_ops.errors.reading import read_table
from fashion_ops.evaluation.bootstrap import compare
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.garment_oks import CONFIDENCE, RESAMPLES, garment_oks, photo_interval
from fashion_ops.evaluation.mean_shape import fit_mean_shape, predict_mean_shape
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.files.publishing import write_whole
from fashion_ops.methods.artifact import SPEC, WEIGHTS, read_spec
from fashion_ops.methods.top_down.inference import METHOD
from fashion_ops.progress import track
from fashion_ops.shipped import SHIPPED, model_folder
from fashion_ops.steps import aggregate
from fashion_ops.taxonomy import load_grouping
from papers.config import TableConfig
from papers.evaluation_set import open_catalog
from papers.few_labels.arms import ARMS, BATCH, FRESH_LR, SHARE, STARTED_LR, Arm, Trainings
from papers.few_labels.curves import AP, HIGH, LOW, OKS, draw_curves
from papers.few_labels.folds import deal, label_order
from papers.few_labels.photos import Photos, read_photos, training_garments
from papers.table import Column, Table

FOLDS = 4
LABELS = (0, 8, 16, 32, 50)  # labelled photos
STEPS = 60
MEAN_SHAPE = "mean shape"
ALONE = Arm(started=True, wardrobe=False)
Row = tuple[Arm, int]  # and its number of labelled photos


@dataclass(frozen=True)
class Study:
    """A comparison: the photos, the trainings, where predictions are kept, and the requested arms."""

    photos: Photos
    trainings: Trainings
    folder: Path
    arms: tuple[Arm, ...] = ARMS

    def labels(self) -> list[int]:
        """The numbers of labelled photos that every fold can have.

        Raises:
            ValueError: there are too few photos for the first number.
        """
        count = len(self.photos.images)
        most = count - -(-count // FOLDS)
        if most < LABELS[1]:
            raise ValueError(
                f"--photos: {count} labelled photos, of which {FOLDS} folds leave {most} to learn "
                f"from; {LABELS[1]} are needed: name more"
            )
        return [n for n in LABELS if n <= most]

    def rows(self) -> list[Row]:
        """The lines of the table; ``fresh`` without labels and wardrobe has nothing to learn from.

        The start alone is always among them: the others are compared with it.
        """
        rows = [
            (arm, n) for arm in self.arms for n in self.labels() if n or arm.started or arm.wardrobe
        ]
        return rows if (ALONE, 0) in rows else [(ALONE, 0), *rows]

    def predicted(self, row: Row, seed: int) -> pd.DataFrame:
        """What a row's models predict for photos that they have not seen; trains what is missing."""
        arm, n = row
        garments, images = self.photos.garments, self.photos.images
        if not n:
            name = f"{arm.key}-0" if not arm.wardrobe else f"{arm.key}-0-{seed}"
            return self._kept(name, partial(self._unlabelled, arm, seed), garments)
        sets, ids = images["set"].to_numpy(str), images["image_id"].to_numpy(np.int64)
        fold = deal(sets, FOLDS, 0)
        tables = []
        for k in range(FOLDS):
            others = ids[fold != k]
            chosen = others[label_order(sets[fold != k], k)[:n]]
            labelled = training_garments(self.photos.on(chosen), self.trainings.grouping)
            train = partial(self.trainings.train, arm, labelled, seed)
            tables.append(
                self._kept(f"{arm.key}-{n}-{k}-{seed}", train, self.photos.on(ids[fold == k]))
            )
        return pd.concat(tables)

    def _unlabelled(self, arm: Arm, seed: int) -> Any:
        return self.trainings.train(arm, None, seed) if arm.wardrobe else self.trainings.untrained()

    def _kept(self, name: str, model: Callable[[], Any], rows: pd.DataFrame) -> pd.DataFrame:
        """Predictions of a model for garments, computed once."""
        path = self.folder / f"{name}.parquet"
        if not path.is_file():
            buffer = BytesIO()
            self.trainings.predict(model(), rows).to_parquet(buffer, index=False)
            write_whole(path, buffer.getvalue())
        return read_table(path, needs=("garment_id", "landmarks"))

    def score(self, predictions: pd.DataFrame, of_set: str | None = None) -> tuple[float, np.ndarray]:
        """AP of predictions, and the OKS of each garment, of all photos or those of one set."""
        images, garments = self.photos.images, self.photos.garments
        if of_set is not None:
            images = images[images["set"] == of_set]
            garments = self.photos.on(images["image_id"].to_numpy())
            predictions = predictions[predictions["image_id"].isin(images["image_id"])]
        truth, found = ground_truth(images, garments), detections(predictions, images)
        return score_landmarks(truth, found).stats["AP"], garment_oks(garments, predictions)


def run(config: TableConfig) -> Table:
    """Train what is missing and score each row; one curve an arm.

    Raises:
        FileNotFoundError: the catalog of the wardrobe, a file of labels or the start is missing.
        ValueError: a file of labels cannot be read, there are too few photos, or ``--rows`` names an
            unknown arm.
    """
    drawn = open_catalog(config)
    start = model_folder(config.start or SHIPPED, "landmarker", config.ws.root)
    named = Path(config.start or SHIPPED).name
    seeds = config.seeds or (0,)
    chosen = config.chosen(arm.label(named) for arm in ARMS)
    with tempfile.TemporaryDirectory() as scratch:
        photos = read_photos([Path(file) for file in config.photos or ()], Path(scratch), drawn)
        study = open_study(config, photos, start)
        study = replace(study, arms=tuple(arm for arm in ARMS if arm.label(named) in chosen))
        rows = study.rows()
        predicted: dict[Row, list[pd.DataFrame]] = {row: [] for row in rows}
        for seed, row in track([(seed, row) for seed in seeds for row in rows], "few_labels"):
            predicted[row].append(study.predicted(row, seed))
    shapes = fit_mean_shape(drawn.garments[drawn.garments["split"] == "train"])
    baseline = predict_mean_shape(shapes, photos.garments)
    lines = {f"{arm.label(named)}, {n}": _line(study, tables) for (arm, n), tables in predicted.items()}
    lines[MEAN_SHAPE] = _line(study, [baseline])
    table = pd.DataFrame(lines).T.rename_axis("landmarker, labelled photos")
    counts = [f"{int((photos.images['set'] == name).sum())} of {name}" for name in photos.sets]
    sets = [Column(f"{what}, {name}", drawn=False) for name in photos.sets for what in (AP, OKS)]
    refused = f"; {photos.refused} invalid labels are left out" if photos.refused else ""
    return Table(
        name="few_labels",
        title="What a few labelled photos buy",
        columns=(Column(AP), Column(OKS), Column(LOW, drawn=False), Column(HIGH, drawn=False), *sets),
        rows=table,
        ours=f"{len(photos.images)} labelled photos ({', '.join(counts)}) with {len(photos.garments)} "
        f"garments, labelled boxes, held out in {FOLDS} folds{refused}; {study.trainings.steps} steps "
        f"of {BATCH}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}",
        theirs="",
        same_data=False,
        notes=(
            f"`{LOW}` and `{HIGH}`: ends of the 95 % interval of the mean OKS, over drawn photos.",
            f"`{named}`: training goes on from this landmarker; with 0 labels and without the wardrobe "
            "it is not trained. `fresh`: a new neck and head on the backbone that it began with.",
            f"`+ wardrobe`: {SHARE:.0%} of the samples are drawn garments (with 0 labels, all).",
            f"`{MEAN_SHAPE}`: of the wardrobe's training garments, in the labelled boxes.",
            *_gains(study, named, predicted),
        ),
        picture=lambda path: draw_curves(_curves(named, table, study), table.T[MEAN_SHAPE], path),
    )


def open_study(config: TableConfig, photos: Photos, start: Path) -> Study:
    """Collect what all trainings have in common, and make the folder of the kept predictions."""
    if not (config.ws.grouped / "grouping.json").is_file():
        aggregate.run(config.params, config.ws)
    _, garments = load_garments(config.ws, "train")
    grouping = load_grouping(read_spec(start, METHOD)["grouping"])
    drawn = replace(
        garments.regrouped(used_grouping(config.ws), grouping), real=np.zeros(len(garments), bool)
    )
    steps = config.steps or STEPS
    trainings = Trainings.of(start, steps, drawn, photos.read, config.device, config.training)
    decisive = (steps, BATCH, SHARE, STARTED_LR, FRESH_LR, FOLDS, str(config.device))
    digest = hashlib.sha256(repr(decisive).encode())
    for file in (start / SPEC, start / WEIGHTS, config.ws.catalog / "garments.parquet"):
        digest.update(file.read_bytes())
    for column in ("image_id", "set", "sha256"):
        digest.update(repr(photos.images[column].to_list()).encode())
    digest.update(photos.garments.to_json().encode())
    folder = config.ws.checkpoints / "few_labels" / digest.hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    return Study(photos, trainings, folder)


def _line(study: Study, tables: list[pd.DataFrame]) -> dict[str, float]:
    """A line of the table: means over the seeds, and the interval over photos."""
    scores = [study.score(table) for table in tables]
    oks = np.mean([garments for _, garments in scores], 0)
    low, high = photo_interval(oks, study.photos.garments["image_id"].to_numpy())
    line = {AP: float(np.mean([ap for ap, _ in scores])), OKS: float(oks.mean()), LOW: low, HIGH: high}
    for name in study.photos.sets:
        of_set = [study.score(table, name) for table in tables]
        line[f"{AP}, {name}"] = float(np.mean([ap for ap, _ in of_set]))
        line[f"{OKS}, {name}"] = float(np.mean([garments.mean() for _, garments in of_set]))
    return line


def _gains(study: Study, named: str, predicted: dict[Row, list[pd.DataFrame]]) -> list[str]:
    """Say what the most labels buy over the start alone, with paired intervals."""
    photos = study.photos
    alone, most = predicted[ALONE, 0][0], max(n for _, n in predicted)
    ap, oks = study.score(alone)
    truth, ids = ground_truth(photos.images, photos.garments), photos.garments["image_id"].to_numpy()
    notes = []
    for arm in study.arms:
        scores = [study.score(table) for table in predicted[arm, most]]
        new, gap = np.mean([s[0] for s in scores]), np.mean([s[1] for s in scores], 0) - oks
        low, high = photo_interval(gap, ids)
        first, base = (detections(t, photos.images) for t in (predicted[arm, most][0], alone))
        of_ap = compare(truth, first, base, resamples=RESAMPLES, confidence=CONFIDENCE, seed=0).overall
        times = f"{new / ap:.2f} times the AP" if ap > 0 else f"an AP of {new:.3f}"
        notes.append(
            f"`{arm.label(named)}` with {most} labels has {times} of `{named}` alone ({ap:.3f}; "
            f"difference of the first seed {of_ap.difference:+.3f}, {of_ap.low:+.3f} to "
            f"{of_ap.high:+.3f}) and "
            f"{gap.mean():+.3f} of its OKS ({low:+.3f} to {high:+.3f})."
        )
    return notes


def _curves(named: str, table: pd.DataFrame, study: Study) -> dict[str, pd.DataFrame]:
    """The lines of each arm by its number of labelled photos."""
    curves: dict[str, dict[int, pd.Series]] = {}
    for arm, n in study.rows():
        label = arm.label(named)
        curves.setdefault(label, {})[n] = table.T[f"{label}, {n}"]
    return {label: pd.DataFrame(lines).T for label, lines in curves.items()}
