"""One command for each step.

A step that runs by hand is recorded in ``dvc.lock``, as Dagster would record it. Under ``dvc repro``
DVC records it, so the command only runs the step. Only one command writes to a workspace at a time,
except for single categories, which have outputs of their own.
"""

import importlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fashion_ops.commands.shared import print_metrics, print_status, read_params, writing_to
from fashion_ops.steps import (
    BY_CATEGORY,
    DESCRIPTIONS,
    DFA_STAGES,
    PARTITIONS,
    PROMOTIONS,
    REGISTRY,
    STEPS,
)
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import current_workspace

if TYPE_CHECKING:
    from fashion_ops.ledger import Ledger


def add_steps(app: typer.Typer) -> None:
    """Add a command for every step but those of ``PROMOTIONS``, which have options of their own."""
    for step in STEPS:
        if step in BY_CATEGORY:
            _add_category_step(app, step)
        elif step in PARTITIONS:
            _add_dfa_step(app, step)
        elif step not in PROMOTIONS:
            _add_step(app, step)


def _add_step(app: typer.Typer, step: str) -> None:
    def command() -> None:
        params, ws = read_params()
        with writing_to(ws):
            run = _module(step).run
            if step in REGISTRY:
                print_metrics(step, run(params, ws))
            else:
                _run_and_record(step, lambda: run(params, ws))

    app.command(step, help=DESCRIPTIONS[step])(command)


def _add_category_step(app: typer.Typer, step: str) -> None:
    def command(
        category: Annotated[
            list[str] | None,
            typer.Option(
                help="Run only this category, without a local Ray; repeatable. Default: all 13, by Ray."
            ),
        ] = None,
        force: Annotated[
            bool, typer.Option(help="Without --category: also run what is current.")
        ] = False,
    ) -> None:
        params, ws = read_params()
        unknown = sorted(set(category or ()) - set(CATEGORY_NAMES))
        if unknown:
            raise typer.BadParameter(f"unknown {unknown}; known: {', '.join(CATEGORY_NAMES)}")
        if category:
            with writing_to(ws, *(f"{step}@{name}" for name in category)):
                for name in category:
                    _run_and_record(f"{step}@{name}", lambda n=name: _module(step).run(params, ws, n))
            return
        from fashion_ops.distributed.by_category import run_all, unfinished
        from fashion_ops.registry.tracking import CategoryRuns

        def on_complete(name: str, metrics: dict[str, float], *_: object) -> None:
            print_metrics(f"{step}@{name}", metrics)

        with writing_to(ws):
            names = list(CATEGORY_NAMES) if force else unfinished(step, ws)
            if not names:
                print_status(step, "current")
                return
            recorder = CategoryRuns.of_categories(ws, step, params)
            run_all(_module(step), params, ws, names, recorder, on_complete)

    app.command(step, help=DESCRIPTIONS[step])(command)


def _add_dfa_step(app: typer.Typer, step: str) -> None:
    def command(
        stage: Annotated[
            Literal["1", "2", "3"] | None,
            typer.Option(help="Run only this stage. Default: all that are not current."),
        ] = None,
        force: Annotated[bool, typer.Option(help="Without --stage: also run what is current.")] = False,
    ) -> None:
        params, ws = read_params()
        with writing_to(ws):
            for key in (stage,) if stage else DFA_STAGES:
                name = f"{step}@{key}"
                if not (stage or force) and _ledger().make_current(name):
                    print_status(name, "current")
                else:
                    _run_and_record(name, lambda k=key: _module(step).run(params, ws, k))

    app.command(step, help=DESCRIPTIONS[step])(command)


def _module(step: str) -> Any:
    return importlib.import_module(f"fashion_ops.steps.{step}")


def _run_and_record(stage: str, run: Callable[[], dict[str, Any]]) -> None:
    """Run one stage, record it in ``dvc.lock`` unless DVC runs this process, and print its metrics."""
    if os.environ.get("DVC_STAGE"):
        metrics = run()
    else:
        ledger = _ledger()
        snapshot = ledger.snapshot(stage)
        metrics = run()
        ledger.commit(stage, snapshot)
    print_metrics(stage, metrics)


def _ledger() -> "Ledger":
    """The ledger of the workspace.

    Raises:
        LedgerError: it is not a DVC repository.
    """
    from fashion_ops.ledger import Ledger

    return Ledger(current_workspace().root)
