"""Run the pipeline in this process: ``python -m pipelines.run [--force] [--select STEP ...]``.

Each job that has selected steps is one Dagster run, which ``make ui`` shows. What is current in the
ledger is skipped unless ``--force`` is given. The default of ``--select`` is all steps up to
``register``, and those of alignment up to the trained models.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import NoReturn

import dagster as dg

from fashion_ops.commands.answers import answered, complain, debug_option
from fashion_ops.errors.failures import FAULT, MISTAKE, one_line
from fashion_ops.params import load_params
from fashion_ops.steps import PROMOTIONS, STEPS
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace, find_root
from pipelines.assets import CATEGORIES_TAG, SKIP_CURRENT_TAG, say
from pipelines.home import await_history, prepare_home
from pipelines.jobs import all_partitions_tags
from pipelines.metadata import failure_cause, failure_status
from pipelines.run_owner import OWNER_TAG, end_writing, runs_in_progress, this_process
from pipelines.steps import BATCHES, steps_by_job

DEFAULT_STEPS = tuple(step for step in STEPS if step not in (*PROMOTIONS, "register_alignment"))


def run(
    root: Path,
    instance: dg.DagsterInstance,
    steps: tuple[str, ...] = DEFAULT_STEPS,
    categories: tuple[str, ...] = (),
    force: bool = False,
) -> list[dg.ExecuteInProcessResult]:
    """Run these steps in order, one Dagster job after the other, until a job fails.

    Args:
        root: root of the repository.
        instance: the Dagster instance that keeps the history.
        steps: names of the steps.
        categories: names of the categories that ``finetune`` and ``refine`` run for; empty means all.
        force: also run what is current.

    Returns:
        The results of the jobs that ran. A failure is in its result and is not raised.
    """
    from pipelines.definitions import build  # reads params.yaml, which may not be valid

    definitions = build(root)
    tags = {OWNER_TAG: this_process()}
    if not force:
        tags[SKIP_CURRENT_TAG] = "true"
    if categories:
        tags[CATEGORIES_TAG] = ",".join(categories)
    results: list[dg.ExecuteInProcessResult] = []
    selected = {*steps, BATCHES} if "ingest" in steps else set(steps)
    for job, members in steps_by_job().items():
        names = tuple(name for name in members if name in selected)
        if names and all(result.success for result in results):
            try:
                result = definitions.resolve_job_def(job).execute_in_process(
                    instance=instance,
                    asset_selection=[dg.AssetKey(name) for name in names],
                    tags=tags | all_partitions_tags(names),
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                    raise_on_error=False,
                )
            finally:
                end_writing(Workspace(root))
            results.append(result)
    return results


def failures(results: list[dg.ExecuteInProcessResult]) -> list[str]:
    """One line for each failed step or blocking check, with its cause.

    The line of a step that runs by category names the categories that failed. Checks that only warn are
    left out.
    """
    return [line for result in results for line in _failures(result)]


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """The lines of ``failures`` for one run."""
    lines = []
    for check in result.get_asset_check_evaluations():
        if not check.passed and check.severity != dg.AssetCheckSeverity.WARN:
            facts = ", ".join(f"{name} {value.value}" for name, value in check.metadata.items())
            lines.append(
                f"{check.asset_key.to_user_string()}: check {check.check_name} failed: {facts}"
            )
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        error = event.step_failure_data.error
        if error is None or error.cls_name != "DagsterAssetCheckFailedError":  # reported above
            lines.append(one_line(f"{event.step_key}: {failure_cause(event.step_failure_data)}"))
    return lines


def status_of(results: list[dg.ExecuteInProcessResult]) -> int:
    """Exit status of failed results: ``MISTAKE`` if the reader can mend every failed step."""
    statuses = [
        failure_status(event.step_failure_data)
        for result in results
        for event in result.all_events
        if event.is_step_failure
    ]
    return MISTAKE if statuses and set(statuses) == {MISTAKE} else FAULT


class _Parser(argparse.ArgumentParser):
    """A parser that answers a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        complain(f"{message}; `{self.prog} --help` lists the options")
        self.exit(MISTAKE)


def main(arguments: list[str] | None = None) -> int:
    """Run the selected steps.

    ``--debug`` prints the traceback of an error outside of the steps; Dagster keeps those of steps.

    Returns:
        0 if all are done or current; 2 if something is to be mended first (settings, data, a run that
        is in progress), 1 after another failure.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with debug_option(words), answered():
        return _main(words)


def _main(arguments: list[str]) -> int:
    parser = _Parser("python -m pipelines.run", description=__doc__)
    parser.add_argument("--select", nargs="+", choices=STEPS, metavar="STEP", default=DEFAULT_STEPS)
    parser.add_argument("--category", nargs="+", choices=CATEGORY_NAMES, metavar="CATEGORY", default=())
    parser.add_argument("--force", action="store_true", help="also run what is current")
    parser.add_argument("--summary", action="store_true", help="show results and next commands")
    parser.add_argument("--debug", action="store_true", help="print the traceback of an error")
    options = parser.parse_args(arguments)
    root = find_root()
    load_params(root / "params.yaml")  # before anything is written
    with Workspace(root).writing(shlex.join(["python", "-m", "pipelines.run", *arguments])):
        prepare_home(root)
        await_history()
        return _run_selected(root, options)


def _run_selected(root: Path, options: argparse.Namespace) -> int:
    """Do what ``main`` was asked to, as the only writer of the workspace; returns the same."""
    start = time.monotonic()
    with dg.DagsterInstance.get() as instance:
        if busy := runs_in_progress(instance):
            say(
                f"run {busy[0]} is in progress in this workspace; wait for it or terminate it in the UI"
            )
            return 2
        results = run(root, instance, tuple(options.select), tuple(options.category), options.force)
        problems, status = failures(results), status_of(results)
    if problems or not all(result.success for result in results):
        kept = "completed steps are kept; run again to continue"
        say(
            f"failed: {problems[0]}; {kept}"
            if len(problems) == 1
            else "\n".join(["failed:", *problems, kept])
        )
        return status
    say(f"done in {time.monotonic() - start:.0f} s")
    if options.summary:
        from pipelines.summary import print_summary

        print_summary(Workspace(root))
    return 0


if __name__ == "__main__":
    sys.exit(main())
