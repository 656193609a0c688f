"""The commands ``sheet``, the reference to print, and ``measure``, the sizes of garments in photos."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fashion_ops.commands.models import MinScore
from fashion_ops.commands.named_models import Model, default_model, load_pipeline
from fashion_ops.commands.shared import (
    Device,
    between,
    complain,
    params_or_defaults,
    report,
    with_device,
)
from fashion_ops.errors.failures import printable
from fashion_ops.files.outputs import FileKind, check_file
from fashion_ops.files.publishing import write_whole

if TYPE_CHECKING:
    from fashion_ops.inference.measuring import Measured
    from fashion_ops.inference.predictor import Garment
    from fashion_ops.measurement.references import Scaling
    from fashion_ops.methods.centernet.deploy.photo import Photo

SHEET = FileKind("fashion-ops sheet", "fashion-ops sheet")
MEASURE = "fashion-ops measure"
ROWS = (
    *("photo", "garment", "category", "score", "size", "term", "unit", "value", "low", "high"),
    *("shown", "occluded", "reference"),
)
TABLE, CHART = "sizes.csv", "size_chart.csv"
KEYS = frozenset(("photo", "unit", "garments"))  # of the JSON of a photo

Reference = Annotated[
    Literal["auto", "sheet", "a4", "letter", "card", "none"],
    typer.Option(
        help="What gives the scale. sheet: that of `fashion-ops sheet`; a4, letter: bare paper; card: "
        "a bank card; auto: the sheet, else paper; none: sizes in pixels."
    ),
]
PixelsPerCm = Annotated[
    float | None,
    typer.Option(
        callback=lambda value: None if value is None else between(0.1, 1e4)(value),
        help="The scale by hand, in a photo taken straight from above, in place of a reference.",
    ),
]
Calibration = Annotated[
    Path | None,
    typer.Option(help="JSON with matrix and distortion of the camera, as cv2.calibrateCamera gives."),
]


def sheet(
    out: Annotated[Path, typer.Option(help="The PDF to write.")],
    paper: Annotated[Literal["A4", "Letter"], typer.Option(help="The paper of the printer.")] = "A4",
) -> None:
    """Write the sheet with markers that gives sizes in photos their scale, as PDF to print."""
    if out.suffix.lower() != ".pdf":
        complain(f"--out {out}: must end in .pdf")
        raise typer.Exit(2)
    check_file(out, SHEET)
    from fashion_ops.measurement.sheet import sheet_pdf

    write_whole(out, sheet_pdf(paper))
    typer.echo(f"{out}: {paper}; print it at 100 % and check that its line measures 100 mm")


def measure(
    photos: Annotated[list[Path], typer.Argument(help="Photos of garments that lie flat.")],
    out: Annotated[Path, typer.Option(help="Folder for PHOTO.json, PHOTO.png and sizes.csv.")],
    reference: Reference = "auto",
    pixels_per_cm: PixelsPerCm = None,
    calibration: Calibration = None,
    cloth: Annotated[
        float,
        typer.Option(callback=between(0, 100), help="Millimetres that the cloth is high as it lies."),
    ] = 2.0,
    chart: Annotated[
        bool,
        typer.Option(
            "--chart",
            help="The photos show one style, in a folder for each label (S, M, L): size_chart.csv too.",
        ),
    ] = False,
    model: Model = None,
    min_score: MinScore = None,
    device: Device = None,
) -> None:
    """Measure garments in photos: sizes in centimetres with 95 % intervals, by a reference.

    Without a reference in a photo its sizes are pixels, and marked as such. A photo that fails is
    reported, and the others are done; the exit status is 1 then.
    """
    from fashion_ops.commands.result_names import result_names

    scaling = scaling_of(reference, pixels_per_cm, calibration, cloth)
    names = result_names(photos, out, MEASURE, KEYS)
    tables = [out / TABLE, *([out / CHART] if chart else [])]
    for table in tables:
        check_file(table, FileKind(MEASURE, _header(table.name)), photos)
    settings = with_device(params_or_defaults(), device).distributed
    predictor = load_pipeline(model or default_model(), settings.device)
    done: list[tuple[Path, list[Garment], Measured]] = []
    for photo, name in zip(photos, names, strict=True):
        try:
            garments, measured = _measure_photo(predictor, photo, out / name, scaling, min_score)
        except Exception as error:  # whatever it is, the other photos are done
            report(error)
        else:
            done.append((photo, garments, measured))
    if done:  # else the tables of an earlier call stay
        write_whole(out / TABLE, _rows(done))
    if done and chart:
        _write_chart(out / CHART, done)
    failed = len(photos) - len(done)
    if failed and len(photos) > 1:
        complain(f"{failed} of {len(photos)} photos failed, as said above; the others are done")
    if failed:
        raise typer.Exit(1)


def scaling_of(
    reference: Literal["auto", "sheet", "a4", "letter", "card", "none"],
    pixels_per_cm: float | None,
    calibration: Path | None,
    cloth: float = 2.0,
) -> "Scaling":
    """How the scale is found, from the options of a command.

    Raises:
        ValueError: options that exclude each other, or no calibration in the file.
    """
    if pixels_per_cm is not None and reference != "auto":
        raise ValueError(
            f"--pixels-per-cm {pixels_per_cm:g}: is a scale by hand; leave out --reference {reference}"
        )
    from fashion_ops.measurement.references import Scaling
    from fashion_ops.measurement.scale import Lens
    from fashion_ops.measurement.sizes import Cloth

    lens = None if calibration is None else Lens.read(calibration)
    return Scaling(reference, pixels_per_cm, lens, Cloth(cloth + 0.1))


def _measure_photo(
    predictor: Any, path: Path, target: Path, scaling: "Scaling", min_score: float | None
) -> "tuple[list[Garment], Measured]":
    """Write ``target`` with .json and .png behind it, and print a line.

    Raises:
        ValueError: the photo cannot be read, or the calibration is not of it.
        OSError: a file cannot be written.
    """
    from fashion_ops.inference.measuring import measure_photo
    from fashion_ops.inference.predictor import load_photo
    from fashion_ops.inference.second_look import find_twice, first_look

    photo = load_photo(path)
    least = predictor.min_score if min_score is None else min_score
    garments = find_twice(predictor.predict_many, [photo], least, first_look(predictor))[0]
    try:
        measured = measure_photo(photo, garments, scaling)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    result = {"photo": printable(path.name), **measured.to_json(garments)}
    drawn = _drawn(photo, garments, measured)
    write_whole(Path(f"{target}.json"), (json.dumps(result, indent=1) + "\n").encode())
    write_whole(Path(f"{target}.png"), drawn)
    if measured.note:
        complain(f"{printable(path)}: {measured.note}; show the whole reference, or name --reference")
    counts = [
        f"{garment.category} {garment.score:.2f}, {sum(s.shown for s in sizes)} of {len(sizes)} sizes"
        for garment, sizes in zip(garments, measured.sizes, strict=True)
    ]
    how = f"cm by {measured.reference.name}" if measured.reference else "pixels"
    typer.echo(
        f"{printable(path)}: {'; '.join(counts) or 'no garment'}; {how} -> {printable(target)}.png"
    )
    return garments, measured


def _drawn(photo: "Photo", garments: "list[Garment]", measured: "Measured") -> bytes:
    """A PNG of a photo with its sizes drawn and the mark of this command."""
    from dataclasses import replace

    import numpy as np

    from fashion_ops.files.outputs import marked_png
    from fashion_ops.reports.dimensions import DrawnSizes, draw_sizes
    from fashion_ops.reports.draw import encode_png
    from fashion_ops.taxonomy import category

    drawn = [
        DrawnSizes(
            f"{category(garment.category).label}  {garment.score:.2f}",
            photo.to_pixels(np.array(garment.box).reshape(2, 2)).reshape(4),
            [replace(size, line=photo.to_pixels(size.line)) for size in sizes],
        )
        for garment, sizes in zip(garments, measured.sizes, strict=True)
    ]
    reference = measured.reference
    caption = f"Scale: {reference.name}. ± is half of the 95 % interval." if reference else ""
    outline = photo.to_pixels(reference.outline) if reference else np.zeros((0, 2))
    note = measured.note and f"{measured.note[0].upper()}{measured.note[1:]}."
    return marked_png(encode_png(draw_sizes(photo.pixels, drawn, caption, outline, note)), MEASURE)


def _header(name: str) -> str:
    """The first line of a table of this command."""
    from fashion_ops.measurement.size_chart import COLUMNS

    return ",".join(COLUMNS if name == CHART else ROWS)


def _rows(done: "list[tuple[Path, list[Garment], Measured]]") -> bytes:
    """``sizes.csv``: a row for each size of each garment."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(ROWS)
    for photo, garments, measured in done:
        reference = measured.reference.name if measured.reference else ""
        for number, (garment, sizes) in enumerate(zip(garments, measured.sizes, strict=True)):
            of = (printable(photo), number, garment.category, f"{garment.score:.4f}")
            for size in sizes:
                values = (f"{size.value:.2f}", f"{size.low:.2f}", f"{size.high:.2f}")
                names = (size.name, size.term, size.unit)
                occluded = " ".join(size.occluded)
                writer.writerow((*of, *names, *values, int(size.shown), occluded, reference))
    return file.getvalue().encode()


def _write_chart(target: Path, done: "list[tuple[Path, list[Garment], Measured]]") -> None:
    """Write the size chart of the best garment of each photo."""
    from fashion_ops.measurement.size_chart import as_csv, size_chart

    best = [
        (printable(photo.absolute().parent.name), garments[0].category, measured.sizes[0])
        for photo, garments, measured in done
        if garments
    ]
    rows = size_chart(best)
    write_whole(target, as_csv(rows))
    labels = list(dict.fromkeys(row.label for row in rows))
    typer.echo(f"{target}: {len(rows)} sizes of {', '.join(labels) or 'no label'}")
