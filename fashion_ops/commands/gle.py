"""``fashion-ops gle train|predict``: GLE beside the pipeline, with the settings of a file.

The files are in ``configs/gle``. The step ``train_gle`` trains the workspace's own model; it may start
from one that is trained here on another data set.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from filelock import FileLock, Timeout

from fashion_ops.commands.shared import Device, read_params, with_device
from fashion_ops.files.outputs import FileKind, check_file, check_folder
from fashion_ops.files.publishing import write_whole
from fashion_ops.params import load_params, read_yaml
from fashion_ops.workspace import Workspace, current_workspace

if TYPE_CHECKING:
    import pandas as pd

    from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks

PREDICTIONS = FileKind("fashion-ops gle predict", "fashion-ops gle predict")

app = typer.Typer(no_args_is_help=True)

Model = Annotated[Path, typer.Option(help="Folder of the model.")]
Source = Annotated[str, typer.Option(help="Alignment catalog: fld, category_attribute or in_shop.")]


@app.callback()
def _group() -> None:
    """GLE: full-resolution heatmaps of a garment's landmarks, with global-local modules."""


@app.command()
def train(
    config: Annotated[Path | None, typer.Option(help="Such as configs/gle/fld.yaml.")] = None,
    out: Model = Path("outputs/gle"),
    source: Source = "fld",
    start_from: Annotated[
        Path | None,
        typer.Option(help="Folder of another GLE model, or file of a published VGG (.pth)."),
    ] = None,
) -> None:
    """Train on the training garments of a catalog; an interrupted run resumes."""
    from fashion_ops.methods.alignment.gle.training import MODEL, save_gle, train_gle
    from fashion_ops.methods.parts.trainer import TrainerOptions
    from fashion_ops.params import GLEConfig

    ws = current_workspace()
    check_folder(out, MODEL, inputs=(ws.alignment_catalog, *filter(None, [config, start_from])))
    gle_config = GLEConfig() if config is None else read_yaml(GLEConfig, config)
    catalog = _catalog(ws, source)
    points = _points(catalog, "train")
    checkpoint = ws.checkpoints / "gle.ckpt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    params = load_params(ws.params)
    options = TrainerOptions.of(params.distributed, checkpoint=checkpoint, bar=True)
    with _only_training(checkpoint):
        trained = train_gle(
            gle_config, points, catalog.image, seed=params.seed, options=options, start=start_from
        )
        save_gle(out, trained)
        checkpoint.unlink(missing_ok=True)
    if trained.start is not None:
        typer.echo(trained.start.in_words("--start-from", str(start_from)))
    typer.echo(f"{out}: trained on {len(points)} garments of {source}")


@app.command()
def predict(
    model: Model = Path("models/gle"),
    source: Source = "fld",
    split: Annotated[
        str, typer.Option(help="Split of the catalog: train, val or test; In-shop: query or gallery.")
    ] = "test",
    out: Annotated[Path, typer.Option(help="Parquet for `fashion-ops score --metric ne`.")] = Path(
        "reports/gle.parquet"
    ),
    device: Device = None,
) -> None:
    """Predict the landmarks of a split's garments, in pixels of their images."""
    import pandas as pd

    from fashion_ops.catalog.alignment import schemas
    from fashion_ops.methods.alignment.gle.inference import GLEPredictor
    from fashion_ops.methods.parts.device import select_device
    from fashion_ops.taxonomy.alignment import points_of_type

    params, ws = read_params()
    check_file(out, PREDICTIONS, inputs=(model, ws.alignment_catalog))
    setting = with_device(params, device).distributed.device
    predictor, catalog = GLEPredictor.load(model, select_device(setting)), _catalog(ws, source)
    points = _points(catalog, split)
    predictions = predictor.predict(catalog.image, points.image_id, points.box)
    landmarks = [
        slots[points_of_type(int(kind)).slots].astype("float32").ravel()
        for slots, kind in zip(predictions, points.clothes_type, strict=True)
    ]
    table = pd.DataFrame({"garment_id": points.garment_id, "landmarks": landmarks})
    write_whole(out, _parquet(schemas.PREDICTIONS.validate(table)))
    typer.echo(f"{out}: {len(table)} garments")


@contextmanager
def _only_training(checkpoint: Path) -> Iterator[None]:
    """Keep other trainings from using the same checkpoint within the block.

    Raises:
        OSError: another one uses it.
    """
    try:
        with FileLock(checkpoint.with_suffix(".lock"), blocking=False):
            yield
    except Timeout:
        raise OSError(f"{checkpoint}: another `gle train` uses it; wait until that is done") from None


def _parquet(table: "pd.DataFrame") -> bytes:
    """The table as a parquet file with the mark of this command."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow, file = pa.Table.from_pandas(table), BytesIO()
    metadata = {**(arrow.schema.metadata or {}), b"made_by": PREDICTIONS.mark.encode()}
    pq.write_table(arrow.replace_schema_metadata(metadata), file)
    return file.getvalue()


def _points(catalog: "AlignmentCatalog", split: str) -> "AlignmentLandmarks":
    """The garments of a split.

    Raises:
        ValueError: it has none.
    """
    points = catalog.points(split)
    if not len(points):
        counts = catalog.garments.loc[catalog.garments["clothes_type"] > 0, "split"].value_counts()
        known = ", ".join(f"{name} ({n})" for name, n in sorted(counts.items())) or "none in any split"
        raise ValueError(f"{catalog.folder}: no garments in split {split!r}; garments: {known}")
    return points


def _catalog(ws: Workspace, source: str) -> "AlignmentCatalog":
    from fashion_ops.catalog.alignment.reader import AlignmentCatalog

    folder = ws.alignment_catalog / source
    if not (folder / "garments.parquet").is_file():
        raise FileNotFoundError(f"{folder}: no catalog here; `fashion-ops ingest_alignment` makes one")
    return AlignmentCatalog(folder)
