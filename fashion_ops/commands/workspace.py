"""Commands that maintain a workspace: parameters, the cache, new data."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from fashion_ops.commands.shared import complain, print_metrics, read_params, writing_to
from fashion_ops.files.outputs import OutputRefused
from fashion_ops.files.uris import is_uri
from fashion_ops.params.evaluation import CATALOG_NAME
from fashion_ops.workspace import current_workspace, find_root


def batches() -> None:
    """Move labelled batches from data/inbox to the training data, or to data/rejected."""
    from fashion_ops.ledger import Ledger
    from fashion_ops.steps.batches import process_batches

    params, ws = read_params()
    with writing_to(ws):
        results = process_batches(params, ws, Ledger(ws.root))
    for name in results.accepted:
        typer.echo(f"accepted {ws.batches / name}; `fashion-ops ingest` reads it")
    for name, why in results.rejected.items():
        complain(ValueError(f"rejected {ws.rejected / name}: {why}"))
    for name, why in results.stuck.items():
        complain(f"still in {ws.inbox}: {name}: {why}")
    if results.waiting:
        typer.echo(f"waiting: {results.waiting}")


def ingest_also(
    name: Annotated[str, typer.Argument(help="Of the catalog, as evaluate.also names it.")],
    root: Annotated[str, typer.Argument(help="The labelled data set: a folder, an archive or a URI.")],
    source: Annotated[
        Literal["deepfashion2", "coco"] | None,
        typer.Option(help="Its layout. Default: ingest.source of params.yaml."),
    ] = None,
) -> None:
    """Ingest a further labelled data set as data/also/NAME, for evaluate.also."""
    from fashion_ops.steps import ingest

    params, ws = read_params()
    if not re.fullmatch(CATALOG_NAME, name):
        raise typer.BadParameter(f"{name!r}: a name has letters, digits, dots, dashes and underscores")
    target = ws.also / name
    if target.exists():
        raise OutputRefused(f"{target}: exists; move it away, or choose another name")
    place = root if is_uri(root) else Path(root).absolute().as_posix()
    changes = {"root": place, "source": source or params.ingest.source, "copy_images": True}
    section = params.ingest.model_copy(update=changes)
    with writing_to(ws):
        changed = params.model_copy(update={"ingest": section})
        metrics = ingest.run_into(changed, ws, target, batches=False)
    print_metrics(f"ingest-also {name}", metrics)


def configure(
    recipes: Annotated[list[Path], typer.Argument(help="YAML files, as in configs/deepmark/.")],
) -> None:
    """Merge recipes into params.yaml, comments kept; print what changed."""
    from fashion_ops.params.recipes import configure as merge

    ws = current_workspace()
    with writing_to(ws):
        changes = merge(ws.params, recipes)
    for change in changes:
        typer.echo(f"{change.key}: {change.old} -> {change.new}")
    if not changes:
        typer.echo("nothing to change")


def check_cache(
    root: Annotated[Path | None, typer.Option(help="The repository. Default: this one.")] = None,
) -> None:
    """Check DVC's cache; put back what is damaged or missing from the workspace or the remote."""
    from fashion_ops.ledger import Ledger, lost_outputs, repair_cache

    ledger = Ledger(root or find_root())
    for name, files in repair_cache(ledger).items():
        typer.echo(f"{name}: {', '.join(files)} damaged in the cache or missing there")
    lost, stale = lost_outputs(ledger), ledger.stale()
    for name, files in lost.items():
        again = f"run the step again: `dvc repro {name}`"
        if name.endswith(".dvc"):
            again = f"no step makes it: put a copy back into {name.removesuffix('.dvc')}"
        typer.echo(
            f"{name}: {', '.join(files)}: neither in the workspace nor in a default remote; {again}"
        )
    for stage, why in stale.items():
        typer.echo(f"{stage}: {'; '.join(why)}")
    if stale:
        typer.echo("`dvc repro` makes these again")
    if stale or lost:
        raise typer.Exit(1)
