"""``fashion-ops select``: which photos to label first."""

import csv
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fashion_ops.catalog.images import read_image
from fashion_ops.catalog.quarantine import Refused, is_utf8
from fashion_ops.commands.named_models import Model, default_model, load_pipeline
from fashion_ops.commands.shared import (
    Device,
    between,
    complain,
    params_or_defaults,
    report,
    with_device,
)
from fashion_ops.files.outputs import FileKind, check_file
from fashion_ops.files.publishing import write_whole
from fashion_ops.workspace import current_workspace

if TYPE_CHECKING:
    from fashion_ops.inference.predictor import Predictor
    from fashion_ops.inference.selection import Seen

RANKINGS = FileKind("fashion-ops select", "photo,gain,garments,lowest_score")
_TOGETHER = 8  # photos that run through the networks together


def select(
    photos: Annotated[Path, typer.Argument(help="Folder of photos without labels.")],
    count: Annotated[int, typer.Option(min=1, help="How many photos to rank.")] = 200,
    model: Model = None,
    out: Annotated[
        Path | None, typer.Option(help="CSV for `serve --ranking`. Default: print the ranking.")
    ] = None,
    min_score: Annotated[
        float, typer.Option(callback=between(0, 1), help="Lowest score of a garment that counts.")
    ] = 0.2,
    device: Device = None,
) -> None:
    """Rank unlabelled photos by what their labels are expected to teach.

    A photo counts for much where the model is unsure of its garments, and where they differ from those
    of the catalog and of the photos before it. Photos of the catalog and copies of others are left out.
    """
    from fashion_ops.annotation.exported import unlabelled_photos
    from fashion_ops.catalog.reader import Catalog
    from fashion_ops.inference.selection import labelled_shapes, rank_seen

    if not photos.is_dir():
        raise ValueError(f"{photos}: no such folder; name a folder of photos")
    if out is not None:
        check_file(out, RANKINGS)
    paths, base = unlabelled_photos(photos), Path() if out is None else out.parent.resolve()
    folder = current_workspace().catalog
    catalog = Catalog(folder) if (folder / "images.parquet").is_file() else None
    known = set() if catalog is None else set(catalog.images["sha256"])
    sound = dict(_digests(paths, base))
    if not sound:
        raise ValueError(f"{photos}: none of its {len(paths)} photos can be read; name another folder")
    fresh = [path for path, digest in sound.items() if digest not in known]
    first = {sound[path]: path for path in reversed(fresh)}  # of each content
    new = [path for path in fresh if first[sound[path]] == path]
    if not new:
        raise ValueError(f"{photos}: all {len(sound)} photos are in the catalog; name new ones")
    settings = with_device(params_or_defaults(), device).distributed
    model = model or default_model()
    predictor = load_pipeline(model, settings.device)
    from fashion_ops.inference.edge import EdgePredictor

    if isinstance(predictor, EdgePredictor):
        raise ValueError(
            f"{model}: is a detector by itself, whose landmarks say nothing of their deviation; name "
            "models with a landmarker by --model"
        )
    seen = list(_seen(new, predictor, min_score))
    if not seen:
        raise ValueError(f"{photos}: none of its {len(new)} photos can be read; name another folder")
    labelled = None if catalog is None else labelled_shapes(catalog)
    ranked = rank_seen([photo for _, photo in seen], labelled, count)
    rows = [
        (*seen[number], gain)
        for number, gain in zip(ranked.order.tolist(), ranked.gains.tolist(), strict=True)
    ]
    known_ones, copies = len(sound) - len(fresh), len(fresh) - len(new)
    failed = len(paths) - known_ones - copies - len(seen)
    text = _csv(rows, base)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_whole(out, text.encode())
        typer.echo(f"{out}: {len(rows)} of {len(paths)} photos, the one that teaches most first")
    if known_ones:
        complain(f"{known_ones} photos are in the catalog already and were left out")
    if copies:
        complain(f"{copies} photos are copies of others of the folder and were left out")
    if failed:
        complain(f"{failed} photos cannot be read, as said above; the others are ranked")
        raise typer.Exit(1)


def _digests(paths: list[Path], base: Path) -> Iterator[tuple[Path, str]]:
    """The photos that can be read and named in a CSV, and the SHA-256 of each; others are reported."""
    from fashion_ops.methods.centernet.deploy.photo import refused_photo

    for path in paths:
        try:
            if not is_utf8(_named(path, base)):
                raise ValueError(f"{path}: this name is not UTF-8; rename it")
            yield path, hashlib.sha256(read_image(path)).hexdigest()
        except Refused as refused:
            report(refused_photo(str(path), refused))
        except ValueError as error:
            report(error)


def _named(path: Path, base: Path) -> str:
    """What a ranking in the folder ``base`` calls a photo."""
    return os.path.relpath(path, base)


def _seen(paths: list[Path], predictor: "Predictor", min_score: float) -> "Iterator[tuple[Path, Seen]]":
    """The photos that can be read, and what the model sees in them; the others are reported."""
    from fashion_ops.inference.predictor import load_photo
    from fashion_ops.inference.selection import see

    for at in range(0, len(paths), _TOGETHER):
        loaded = []
        for path in paths[at : at + _TOGETHER]:
            try:
                loaded.append((path, load_photo(path)))
            except (ValueError, OSError) as error:
                report(error)
        found = see(predictor, [photo for _, photo in loaded], min_score)
        yield from zip((path for path, _ in loaded), found, strict=True)


def _csv(rows: "list[tuple[Path, Seen, float]]", base: Path) -> str:
    """The ranking; paths are relative to the folder ``base``."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(("photo", "gain", "garments", "lowest_score"))
    for path, seen, gain in rows:
        lowest = "" if seen.lowest_score is None else f"{seen.lowest_score:.4f}"
        writer.writerow((_named(path, base), f"{gain:.4f}", len(seen.garments), lowest))
    return lines.getvalue()
