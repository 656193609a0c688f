"""What one does with the synthetic wardrobe, beside the step ``synthesize``."""

from pathlib import Path
from typing import Annotated

import typer


def contact_sheet(
    out: Annotated[Path, typer.Option(help="The PNG to write.")],
    seed: Annotated[int, typer.Option(help="Of the garments, poses and backgrounds.")] = 0,
    columns: Annotated[int, typer.Option(min=1, help="Images of each category.")] = 6,
    size: Annotated[int, typer.Option(min=32, help="Side of an image on the page, pixels.")] = 144,
) -> None:
    """Draw a page of the synthetic wardrobe: all categories, some images with their landmarks."""
    import cv2

    from fashion_ops.reports.contact_sheet import contact_sheet as draw

    out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(out), draw(seed, columns, size)):
        raise typer.BadParameter(f"{out}: OpenCV cannot write this file; give it the suffix .png")
    typer.echo(f"{out}: {columns} images of each category")
