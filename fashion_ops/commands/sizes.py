"""The command ``sheet``: the reference sheet to print."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fashion_ops.commands.shared import complain
from fashion_ops.errors.failures import failure_line
from fashion_ops.files.outputs import FileKind, check_file
from fashion_ops.files.publishing import write_whole

SHEET = FileKind("fashion-ops sheet", "fashion-ops sheet")


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

    try:
        write_whole(out, sheet_pdf(paper))
    except OSError as error:
        raise ValueError(f"--out {out}: cannot be written: {failure_line(error)}") from error
    typer.echo(f"{out}: {paper}; print it at 100 % and check that its line measures 100 mm")
