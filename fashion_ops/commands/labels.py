"""The commands ``labels import`` and ``labels export``: exchange with labelling tools."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fashion_ops.catalog.inbox import READY_SUFFIX
from fashion_ops.commands.models import MinScore
from fashion_ops.commands.named_models import load_pipeline
from fashion_ops.commands.shared import Device, complain, params_or_defaults, report, with_device
from fashion_ops.files.outputs import OutputRefused, check_new, placed
from fashion_ops.files.publishing import write_whole
from fashion_ops.workspace import current_workspace

if TYPE_CHECKING:
    from fashion_ops.annotation.photos import AnnotatedPhoto

FormatName = Literal["coco", "cvat", "label-studio", "yolo-pose", "fiftyone"]
FormatOption = Annotated[FormatName, typer.Option("--format", help="Of the labelling tool.")]

app = typer.Typer(no_args_is_help=True, help="Labels from and for labelling tools.")


@app.command("import")
def import_labels(
    source: Annotated[
        Path,
        typer.Argument(
            help="What the tool exported: a folder, its label file, or a .zip.", show_default=False
        ),
    ],
    form: FormatOption,
    out: Annotated[
        Path | None,
        typer.Option(help="New folder of the batch. Default: data/inbox/NAME of the export."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the photos, where the export has labels only.")
    ] = None,
    ready: Annotated[
        bool, typer.Option("--ready", help="Mark the batch as complete: `batches` takes it.")
    ] = False,
) -> None:
    """Turn a labelling tool's export into a batch in DeepFashion2's layout, or refuse all of it."""
    from fashion_ops.annotation import formats

    target = out or current_workspace().inbox / _batch_name(source)
    mark = placed(target).with_name(f"{placed(target).name}{READY_SUFFIX}")
    if os.path.lexists(mark):
        raise OutputRefused(f"{mark}: exists, and would mark the new batch as complete; move it away")
    totals = formats.import_labels(form, source, target, images)
    for note in totals.notes:
        typer.echo(note)
    counts = ", ".join(f"{count} photos of {split}" for split, count in totals.photos.items())
    typer.echo(
        f"{target}: {counts}, {totals.negatives} of them without garments; {totals.garments} garments"
    )
    if set(totals.photos) - {"train"}:
        typer.echo("as a new batch only photos of train are accepted; as a data set set ingest.root")
    if ready:
        write_whole(mark, b"")
    typer.echo(f"marked as complete: {mark}" if ready else f"`touch {mark}` marks it as complete")


def _batch_name(source: Path) -> str:
    """The name of the batch from an export: that of its folder or file up to the first dot.

    Raises:
        ValueError: it has none.
    """
    name = placed(source).name.lstrip(".").partition(".")[0]
    if not name:
        raise ValueError(f"{source}: has no name for the batch; name its folder by --out")
    return name


@app.command("export")
def export_labels(
    form: FormatOption,
    out: Annotated[Path, typer.Option(help="New folder.")],
    source: Annotated[
        Path | None,
        typer.Argument(
            help="A folder of labelled photos in DeepFashion2's layout or COCO's; with --model, of "
            "photos to label. Default: the catalog.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test"] | None, typer.Option(help="Its photos only.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Label the photos with it: models:/NAME@ALIAS, or a folder of models."),
    ] = None,
    min_score: MinScore = None,
    device: Device = None,
) -> None:
    """Write labels for a labelling tool, and say what its format has no place for."""
    from fashion_ops.annotation import formats

    if model is not None and source is None:
        raise ValueError("labels export: --model labels the photos of a folder; name the folder")
    if model is not None and split is not None:
        raise ValueError("labels export: --split goes with labelled photos, not with --model")
    if model is None and min_score is not None:
        raise ValueError("labels export: --min-score goes with --model; name the model")
    if source is not None and not source.is_dir():
        raise ValueError(f"{source}: no such folder; check the path")
    ws = current_workspace()
    check_new(out, (source or ws.catalog,))
    if model is not None and source is not None:
        settings = with_device(params_or_defaults(), device).distributed
        photos, failed = _prelabelled(source, model, min_score, settings.device)
    else:
        photos, failed = _labelled(source or ws.catalog, source is None, split), 0
    lines = formats.export_labels(form, photos, out)
    garments = sum(len(photo.labels.items) for photo in photos)
    typer.echo(f"{out}: {len(photos)} photos, {garments} garments")
    if model is not None:
        typer.echo("a model tells no visibility: its landmarks are written as visible")
    for line in lines:
        typer.echo(line)
    if failed:
        complain(f"{failed} photos failed, as said above; the others are done")
        raise typer.Exit(1)


def _labelled(source: Path, is_catalog: bool, split: str | None) -> "list[AnnotatedPhoto]":
    """The photos of the catalog or of a folder.

    Raises:
        ValueError: there are none, a record of the folder is invalid, or the folder is in no layout.
        FileNotFoundError: there is no catalog.
    """
    from fashion_ops.annotation.batch import LabelError, refused_line
    from fashion_ops.annotation.exported import catalog_photos, folder_photos
    from fashion_ops.annotation.photos import AnnotatedPhoto
    from fashion_ops.catalog.reader import Catalog

    found: Iterator[Any] = (
        catalog_photos(Catalog(source), split) if is_catalog else folder_photos(source)
    )
    photos, refused = [], []
    for photo in found:
        if not isinstance(photo, AnnotatedPhoto):
            if photo.num_records:
                refused.append(photo)
            else:
                typer.echo(f"{photo.file}: {photo.value}")
        elif split in (None, photo.split):
            photos.append(photo)
    if refused:
        raise LabelError(f"{source}: {refused_line(refused)}")
    if not photos:
        of_split = f" of the split {split}" if split else ""
        raise LabelError(f"{source}: holds no photos{of_split}; name another folder or split")
    return photos


def _prelabelled(
    folder: Path, model: str, min_score: float | None, device: str
) -> "tuple[list[AnnotatedPhoto], int]":
    """The photos of a folder, labelled by a model, and how many failed: each of those is reported.

    Raises:
        ValueError: there is no photo, all fail, or the model is invalid.
    """
    from fashion_ops.annotation.exported import unlabelled_photos
    from fashion_ops.annotation.prelabels import prelabelled

    paths = unlabelled_photos(folder)
    predictor = load_pipeline(model, device)
    photos = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            photos.append(prelabelled(path, name, predictor, min_score, model))
        except Exception as error:  # whatever it is, the other photos are labelled
            report(error)
    if not photos:
        raise ValueError(f"{folder}: none of its {len(paths)} photos can be read; name another folder")
    return photos, len(paths) - len(photos)
