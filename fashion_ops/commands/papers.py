"""``fashion-ops ablate``: says where the papers' tables went."""

import typer

from fashion_ops.commands.shared import complain


def ablate(context: typer.Context) -> None:
    """Moved: the papers' tables are made by ``python -m papers`` in a checkout of the repository."""
    command = " ".join(["python -m papers", *context.args])
    complain(f"fashion-ops ablate has moved; in a checkout of the repository run: {command}")
    raise typer.Exit(2)
