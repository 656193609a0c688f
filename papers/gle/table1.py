"""Table 1: normalised error of each landmark, with k = 0 to 3 global-local modules."""

from statistics import mean

import numpy as np
import pandas as pd
from jaxtyping import Float

from fashion_ops.catalog.alignment.reader import AlignmentLandmarks
from fashion_ops.evaluation.normalized_error import ne
from fashion_ops.methods.alignment.gle.training import train_gle
from fashion_ops.params import GLEConfig, read_yaml
from fashion_ops.progress import track
from fashion_ops.taxonomy.alignment import point_set
from papers.alignment import (
    MEAN_OF_TYPE,
    OUTLIER,
    SEEDS,
    VISIBLE,
    distances,
    load_fld,
    mean_shapes,
    outliers,
)
from papers.config import TableConfig
from papers.gle import paper
from papers.table import Column, PaperColumn, Table

AVERAGE, OCCLUDED, OUTLIERS = "Avg.", "Avg. with occluded", "outliers"
STRETCHED = "Avg. in the stretched box"
FIRST = "k = 0"
VARIANTS = {f"k = {k}": {"modules": k} for k in range(4)}  # settings by column


def run(config: TableConfig) -> Table:
    """Train each column with each seed on FLD's training garments and evaluate the test garments."""
    data = load_fld(config)
    base = (
        GLEConfig() if config.training_config is None else read_yaml(GLEConfig, config.training_config)
    )
    if config.epochs is not None:
        base = base.with_epochs(config.epochs)
    seeds = config.seeds or SEEDS
    rows: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    work = [(variant, seed) for seed in seeds for variant in VARIANTS]
    for variant, seed in track(work, "gle"):
        settings = base.model_copy(update=VARIANTS[variant])
        model = train_gle(
            settings,
            data.train,
            data.catalog.image,
            seed=seed,
            options=config.training,
        )
        predicted = model.predict(data.catalog.image, data.test.image_id, data.test.box)
        rows[variant].append(_scores(predicted[..., :2], data.test))
    table = pd.DataFrame({variant: pd.DataFrame(by_seed).mean() for variant, by_seed in rows.items()})
    for name, points in mean_shapes(data.train, data.test).items():
        table[name] = pd.Series(_scores(points, data.test))
    notes = [_note(variant, by_seed, rows[FIRST]) for variant, by_seed in rows.items()]
    table = table.drop(index=OUTLIERS)
    table.index.name = "landmark"
    names = [*_names(), AVERAGE]
    return Table(
        name="table1",
        title="GLE Table 1: normalised error by number of global-local modules",
        columns=tuple(Column(str(name), 4) for name in table.columns),
        rows=table,
        ours=f"{data.name}, mean of {len(seeds)} seeds; {describe(base)}",
        theirs="FLD (k = 3) and DeepFashion (k = 2), VGG-16 at 224 pixels with ImageNet's weights",
        same_data=data.is_papers_data,
        paper=(
            PaperColumn("k = 2", dict(zip(names, paper.DEEPFASHION, strict=True)), "DeepFashion"),
            PaperColumn("k = 3", dict(zip(names, paper.FLD, strict=True)), "FLD"),
        ),
        notes=(
            f"Error of visible landmarks over the longer side of the garment's box; `{AVERAGE}` is the "
            f"mean of the landmarks' means, as in the paper. Outliers are more than {OUTLIER} off, "
            "among visible and occluded landmarks.",
            f"`{STRETCHED}`: x over the box's width and y over its height, as the paper's release "
            "divides. Garments are higher than wide, so the same predictions have a larger NE there; "
            "compare the paper's averages with this row.",
            f"`{MEAN_OF_TYPE}` knows the clothing type, GLE does not.",
            "All columns train for as long; with a warm start the modules join after "
            f"{base.warm_start:.0%} of the run.",
            *notes,
        ),
        paper_data="FLD and DeepFashion",
    )


def _scores(predicted: Float[np.ndarray, "n 8 2"], test: AlignmentLandmarks) -> dict[str, float]:
    """A column of the table, from landmarks in image pixels; and the share of outliers."""
    visible, observed = test.visibility == VISIBLE, test.observed
    distance = distances(predicted, test)
    score = ne(distance, visible)
    return {
        **dict(zip(_names(), score.per_point, strict=True)),
        AVERAGE: score.macro,
        STRETCHED: ne(distances(predicted, test, "box"), visible).macro,
        OCCLUDED: ne(distance, observed).macro,
        OUTLIERS: outliers(distance, observed),
    }


def _note(variant: str, by_seed: list[dict[str, float]], first: list[dict[str, float]]) -> str:
    """A variant's averages by seed, and in how many seeds they are below the first variant's."""
    averages = [run[AVERAGE] for run in by_seed]
    note = f"{variant}: `{AVERAGE}` " + ", ".join(f"{value:.4f}" for value in averages)
    note += f"; outliers {mean(run[OUTLIERS] for run in by_seed):.1f} %"
    if by_seed is first:
        return note + "."
    below = sum(a < b[AVERAGE] for a, b in zip(averages, first, strict=True))
    return f"{note}; below {FIRST} in {below} of {len(by_seed)} seeds."


def describe(settings: GLEConfig) -> str:
    """Backbone, input and length of a run, in words."""
    width, height = settings.crop
    return (
        f"backbone {settings.backbone} at {width}x{height} pixels, {settings.epochs} epochs, "
        f"loss {settings.loss}"
    )


def _names() -> tuple[str, ...]:
    return tuple(name.replace("_", " ") for name in point_set("fld8").point_names)
