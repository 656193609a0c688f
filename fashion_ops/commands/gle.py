"""``fashion-ops gle train|predict``: GLE on an alignment catalog; not a step of the pipeline.

Its settings are a file (``configs/gle``), not a section of ``params.yaml``.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from fashion_ops.commands.shared import complain
from fashion_ops.params import load_params, read_yaml
from fashion_ops.workspace import Workspace, current_workspace

if TYPE_CHECKING:
    from fashion_ops.catalog.alignment.reader import AlignmentCatalog

app = typer.Typer(no_args_is_help=True)

Model = Annotated[Path, typer.Option(help="Folder of the model.")]
Source = Annotated[str, typer.Option(help="Alignment catalog: fld, category_attribute or in_shop.")]


@app.callback()
def _group() -> None:
    """GLE: full-resolution heatmaps of a garment's landmarks, with global-local modules."""


@app.command()
def train(
    config: Annotated[Path | None, typer.Option(help="Such as configs/gle/fld.yaml.")] = None,
    out: Model = Path("models/gle"),
    source: Source = "fld",
) -> None:
    """Train on the training garments of a catalog; an interrupted run resumes."""
    from fashion_ops.methods.alignment.gle.config import GLEConfig
    from fashion_ops.methods.alignment.gle.training import save_gle, train_gle
    from fashion_ops.methods.parts.trainer import TrainerOptions

    ws = current_workspace()
    try:
        gle_config = GLEConfig() if config is None else read_yaml(GLEConfig, config)
        catalog = _catalog(ws, source)
        points = catalog.points("train")
        checkpoint = ws.checkpoints / "gle.ckpt"
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        options = TrainerOptions(checkpoint=checkpoint, bar=True)
        seed = load_params(ws.params).seed
        save_gle(out, train_gle(gle_config, points, catalog.image, seed=seed, options=options))
        checkpoint.unlink(missing_ok=True)
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
    """Predict the landmarks of a split's garments, in pixels of their images."""
    import pandas as pd

    from fashion_ops.catalog.alignment import schemas
    from fashion_ops.methods.alignment.gle.inference import GLEPredictor
    from fashion_ops.taxonomy.alignment import points_of_type

    try:
        predictor, catalog = GLEPredictor.load(model), _catalog(current_workspace(), source)
        points = catalog.points(split)
        predictions = predictor.predict(catalog.image, points.image_id, points.box)
    except (ValueError, OSError) as error:
        _refuse(error)
    landmarks = [
        slots[points_of_type(int(kind)).slots].astype("float32").ravel()
        for slots, kind in zip(predictions, points.clothes_type, strict=True)
    ]
    table = pd.DataFrame({"garment_id": points.garment_id, "landmarks": landmarks})
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
    complain(error)
    raise typer.Exit(2) from error
