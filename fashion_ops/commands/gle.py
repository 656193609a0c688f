"""``fashion-ops gle train|predict``: GLE on a catalog of alignment data; no step of the pipeline.

A module of the command line. Settings are a file (``configs/gle``), not a section of ``params.yaml``.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from fashion_ops.params import load_params, read_yaml
from fashion_ops.workspace import Workspace

if TYPE_CHECKING:
    from fashion_ops.catalog.alignment.reader import AlignmentCatalog

app = typer.Typer(no_args_is_help=True)

Model = Annotated[Path, typer.Option(help="Folder of the model.")]
Source = Annotated[str, typer.Option(help="Which alignment catalog: fld, category_attribute, in_shop.")]


@app.callback()
def _group() -> None:
    """GLE: full-resolution heatmaps of a garment's landmarks, with global-local modules."""


@app.command()
def train(
    config: Annotated[Path | None, typer.Option(help="Such as configs/gle/fld.yaml.")] = None,
    out: Model = Path("models/gle"),
    source: Source = "fld",
) -> None:
    """Train on the training garments of a catalog; an interrupted run goes on where it was."""
    from fashion_ops.methods.alignment.gle.config import GLESettings
    from fashion_ops.methods.alignment.gle.training import save_gle, train_gle

    ws = Workspace()
    try:
        settings = GLESettings() if config is None else read_yaml(GLESettings, config)
        catalog = _catalog(ws, source)
        points = catalog.points("train")
        resume = ws.checkpoints / "gle.ckpt"
        resume.parent.mkdir(parents=True, exist_ok=True)
        seed = load_params(ws.params).seed
        trained = train_gle(points, catalog.image, settings, seed=seed, checkpoint=resume, bar=True)
        save_gle(out, trained)
        resume.unlink(missing_ok=True)
    except (ValueError, OSError, FloatingPointError) as error:
        _refuse(error)
    typer.echo(f"{out}: trained on {len(points)} garments of {source}")


@app.command()
def predict(
    model: Model = Path("models/gle"),
    source: Source = "fld",
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    out: Annotated[Path, typer.Option(help="Parquet for `fashion-ops score --metric ne`.")] = Path(
        "reports/gle.parquet"
    ),
) -> None:
    """Landmarks of a split's garments, in pixels of their images."""
    import pandas as pd

    from fashion_ops.catalog.alignment import schemas
    from fashion_ops.methods.alignment.gle.inference import GLEPredictor
    from fashion_ops.taxonomy.alignment import points_of_type

    try:
        predictor, catalog = GLEPredictor.load(model), _catalog(Workspace(), source)
        points = catalog.points(split)
        found = predictor.predict(catalog.image, points.image_id, points.box)
    except (ValueError, OSError) as error:
        _refuse(error)
    own = [
        landmarks[points_of_type(int(kind)).slots].astype("float32").ravel()
        for landmarks, kind in zip(found, points.clothes_type, strict=True)
    ]
    table = pd.DataFrame({"garment_id": points.garment_id, "landmarks": own})
    out.parent.mkdir(parents=True, exist_ok=True)
    schemas.PREDICTIONS.validate(table).to_parquet(out)
    typer.echo(f"{out}: {len(table)} garments")


def _catalog(ws: Workspace, source: str) -> "AlignmentCatalog":
    from fashion_ops.catalog.alignment.reader import AlignmentCatalog

    folder = ws.alignment_catalog / source
    if not (folder / "garments.parquet").is_file():
        raise FileNotFoundError(f"{folder}: no catalog here; `fashion-ops ingest_alignment` makes one")
    return AlignmentCatalog(folder)


def _refuse(error: Exception) -> NoReturn:
    typer.echo(str(error), err=True)
    raise typer.Exit(2) from error
