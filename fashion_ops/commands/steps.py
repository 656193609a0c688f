"""One command a step.

A step run by hand is recorded in ``dvc.lock`` as Dagster would record it; under
``dvc repro`` it is DVC itself that records, so the command only runs.
"""

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fashion_ops.commands.shared import complain, console, print_metrics, read_params
from fashion_ops.steps import BY_CATEGORY, DFA_STAGES, PARTITIONS, REGISTRY, STEPS
from fashion_ops.taxonomy import CATEGORY_NAMES

if TYPE_CHECKING:
    from fashion_ops.ledger import Ledger

HELP = {
    "synthesize": "Draw the synthetic wardrobe, in DeepFashion2's layout.",
    "ingest": "Read labelled photos into the catalog; bad records go to quarantine.",
    "aggregate": "Apply the landmark grouping to the catalog.",
    "pseudo_label": "Cluster landmark configurations into pseudo-labels.",
    "drift": "Compare the newest batch with the training data before it.",
    "train_detector": "Train the CenterNet detector.",
    "tune_postprocess": "Search the parameters of the detector's post-processing.",
    "train_box_detector": "Train Cascade R-CNN or Hybrid Task Cascade, where one is asked for.",
    "train_landmarker": "Train the universal landmarker.",
    "finetune": "Finetune the landmarker, one model a category.",
    "refine": "Train PoseFix on the finetuned landmarkers, one model a category.",
    "synthesize_alignment": "Draw the wardrobe in the formats of FLD, DeepFashion and LSP.",
    "dfa_stage": "Train DFA's cascade on the alignment catalog, a stage at a time.",
    "ingest_alignment": "Read FLD, DeepFashion's other benchmarks and LSP into their catalogs.",
    "evaluate": "Judge all models on the validation split and write the report.",
    "register": "Put the models into the registry as challenger.",
}


def _module(step: str) -> Any:
    return importlib.import_module(f"fashion_ops.steps.{step}")


def _run_and_record(stage: str, act: Any) -> dict[str, Any]:
    """Run one stage; unless DVC runs us, record it in ``dvc.lock``."""
    if os.environ.get("DVC_STAGE"):
        return act()
    ledger = _ledger()
    snapshot = ledger.snapshot(stage)
    metrics = act()
    ledger.commit(stage, snapshot)
    return metrics


def _add_step(app: typer.Typer, step: str) -> None:
    def command() -> None:
        params, ws = read_params()
        run = _module(step).run
        if step in REGISTRY:
            metrics = run(params, ws)
        else:
            metrics = _run_and_record(step, lambda: run(params, ws))
        print_metrics(step, metrics)

    app.command(step, help=HELP[step])(command)


def _add_partitioned_step(app: typer.Typer, step: str) -> None:
    def command(
        category: Annotated[
            list[str] | None,
            typer.Option(
                help="Only this one, in this process; may be repeated. Default: all 13, by Ray."
            ),
        ] = None,
        force: Annotated[bool, typer.Option(help="Of all 13, also what is current.")] = False,
    ) -> None:
        params, ws = read_params()
        unknown = sorted(set(category or ()) - set(CATEGORY_NAMES))
        if unknown:
            raise typer.BadParameter(f"unknown {unknown}; known: {', '.join(CATEGORY_NAMES)}")
        if category:
            for name in category:
                stage = f"{step}@{name}"
                print_metrics(
                    stage, _run_and_record(stage, lambda n=name: _module(step).run(params, ws, n))
                )
            return
        from fashion_ops.distributed.by_category import run_all, unfinished
        from fashion_ops.registry.tracking import FanOutRuns

        names = list(CATEGORY_NAMES) if force else unfinished(step, ws)
        if not names:
            console.print(f"[bold]{step}[/bold]: current", highlight=False)
            return
        recorder = FanOutRuns.of_categories(ws, step, params)

        def show(name: str, metrics: dict[str, float], *_: object) -> None:
            print_metrics(f"{step}@{name}", metrics)

        run_all(_module(step), params, ws, names, recorder, show)

    app.command(step, help=HELP[step])(command)


def _add_chain(app: typer.Typer, step: str) -> None:
    def command(
        stage: Annotated[
            Literal["1", "2", "3"] | None,
            typer.Option(help="Only this one. Default: those not current."),
        ] = None,
        force: Annotated[bool, typer.Option(help="Of all three, also what is current.")] = False,
    ) -> None:
        params, ws = read_params()
        for key in (stage,) if stage else DFA_STAGES:
            name = f"{step}@{key}"
            if not (stage or force) and _is_current(name):
                console.print(f"[bold]{name}[/bold]: current", highlight=False)
                continue
            print_metrics(name, _run_and_record(name, lambda k=key: _module(step).run(params, ws, k)))

    app.command(step, help=HELP[step])(command)


def _is_current(stage: str) -> bool:
    return _ledger().is_current(stage)


def _ledger() -> "Ledger":
    """The current folder's; where it has none the command ends with status 2."""
    from fashion_ops.ledger import Ledger, LedgerError

    try:
        return Ledger(Path())
    except LedgerError as error:
        complain(error)
        raise typer.Exit(2) from error


def add_steps(app: typer.Typer) -> None:
    """Add a command for every step but ``promote``, which has an option of its own."""
    for step in STEPS:
        if step in BY_CATEGORY:
            _add_partitioned_step(app, step)
        elif step in PARTITIONS:
            _add_chain(app, step)
        elif step != "promote":
            _add_step(app, step)
