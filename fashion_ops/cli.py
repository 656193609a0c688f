"""The command line: one command for each step, and commands on models and results."""

from typing import Annotated

import typer

from fashion_ops.commands import (
    alignment,
    exports,
    gle,
    labels,
    models,
    papers,
    plan,
    prune,
    registry,
    scores,
    select,
    serve,
    sizes,
    wardrobe,
    workspace,
)
from fashion_ops.commands.answers import AnsweringGroup
from fashion_ops.commands.steps import add_steps

ANY_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(
    cls=AnsweringGroup, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
)
add_steps(app)
for command in (
    models.predict,
    models.describe,
    serve.serve,
    select.select,
    scores.score,
    sizes.sheet,
    sizes.measure,
    registry.promote,
    registry.rollback,
    registry.history,
    registry.restore,
    plan.plan,
    prune.prune,
    workspace.batches,
    workspace.configure,
    workspace.check_cache,
):
    app.command()(command)
app.command("ingest-also")(workspace.ingest_also)
app.command("promote_alignment")(registry.promote_alignment)
app.command("contact-sheet")(wardrobe.contact_sheet)
app.command("pseudo-label")(scores.pseudo_label_table)
app.command(context_settings=ANY_ARGUMENTS, hidden=True)(papers.ablate)
for former in ("distributed", "fleet"):
    app.command(former, context_settings=ANY_ARGUMENTS, hidden=True)(plan.moved)
exports.export.command("dfa")(alignment.export_dfa)
exports.export.command("gle")(alignment.export_gle)
app.add_typer(exports.export, name="export")
app.add_typer(gle.app, name="gle")
app.add_typer(labels.app, name="labels")


@app.callback()
def main(
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Print the traceback of an error; also after a command."),
    ] = False,
) -> None:
    """Train, evaluate, version and promote garment-landmark models; find garments in photos."""


if __name__ == "__main__":
    app()
