"""``fashion-ops ablate``: says where the papers' tables went."""

from typing import Annotated

import typer

from fashion_ops.commands.shared import complain


def ablate(
    words: Annotated[list[str] | None, typer.Argument(help="Of the former command.")] = None,
) -> None:
    """Moved: the papers' tables are made by ``python -m papers`` in a checkout of the repository."""
    command = " ".join(["python -m papers", *(words or ())])
    complain(f"fashion-ops ablate has moved; in a checkout of the repository run: {command}")
    raise typer.Exit(2)
