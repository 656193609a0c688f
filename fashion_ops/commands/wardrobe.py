"""The command ``contact-sheet``: a page of the synthetic wardrobe as an image."""

from pathlib import Path
from typing import Annotated

import typer

from fashion_ops.commands.shared import complain
from fashion_ops.errors.failures import failure_line
from fashion_ops.files.outputs import FileKind, check_file, marked_png
from fashion_ops.files.publishing import write_whole

PAGE = FileKind("fashion-ops contact-sheet", "fashion-ops contact-sheet")


def contact_sheet(
    out: Annotated[Path, typer.Option(help="The PNG to write.")],
    seed: Annotated[int, typer.Option(help="Of the garments, poses and backgrounds.")] = 0,
    columns: Annotated[int, typer.Option(min=1, help="Images of each category.")] = 6,
    size: Annotated[
        int, typer.Option(min=32, help="Longer side of an image on the page, pixels.")
    ] = 144,
    edition: Annotated[int, typer.Option(min=1, max=2, help="Of the wardrobe.")] = 1,
    beside: Annotated[
        str | None, typer.Option(help="A folder of photos, some of which are added to compare.")
    ] = None,
) -> None:
    """Draw a page of the synthetic wardrobe: all categories, some images with their landmarks."""
    if out.suffix.lower() != ".png":
        complain(f"--out {out}: must end in .png")
        raise typer.Exit(2)
    check_file(out, PAGE)
    import cv2

    from fashion_ops.reports.contact_sheet import contact_sheet as draw
    from fashion_ops.reports.draw import encode_png
    from fashion_ops.synthetic.wardrobe.photos import find_photos

    drawn = draw(seed, columns, size, edition, find_photos(Path(), beside, "--beside"))
    page = encode_png(cv2.cvtColor(drawn, cv2.COLOR_BGR2RGB))
    try:
        write_whole(out, marked_png(page, PAGE.mark))
    except OSError as error:
        raise ValueError(f"--out {out}: cannot be written: {failure_line(error)}") from error
    typer.echo(f"{out}: {columns} images of each category")
