"""The command line: one command a step, and what one does with models and results."""

import typer

from fashion_ops.ablations.command import app as ablate
from fashion_ops.commands import fleet, gle, models, registry, scores, workspace
from fashion_ops.commands.steps import add_steps

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
add_steps(app)
for command in (
    models.predict,
    models.export,
    models.describe,
    scores.score,
    registry.promote,
    registry.rollback,
    registry.history,
    registry.restore,
    workspace.batches,
    workspace.configure,
    workspace.check_cache,
):
    app.command()(command)
app.command("pseudo-label")(scores.pseudo_label_table)
app.add_typer(ablate, name="ablate")
app.add_typer(fleet.app, name="fleet")
app.add_typer(gle.app, name="gle")

if __name__ == "__main__":
    app()
