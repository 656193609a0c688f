"""Run the pipeline in this process: ``python -m pipelines.run [--force] [--select STEP ...]``.

One Dagster run of each job that has chosen steps, kept in DAGSTER_HOME for ``make ui``. What the
ledger calls current is skipped unless ``--force`` is given. Without ``--select``: everything up to
``register``.
"""

import argparse
import sys
import time
from pathlib import Path

import dagster as dg

from fashion_ops.steps import STEPS
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace, find_root
from pipelines.assets import CATEGORIES_TAG, SKIP_CURRENT_TAG, say
from pipelines.automation import all_partitions
from pipelines.definitions import build
from pipelines.home import prepare_home
from pipelines.metadata import cause
from pipelines.run_owner import DRIVER_TAG, driver, runs_in_progress
from pipelines.steps import BATCHES, jobs

DEFAULT_STEPS = tuple(step for step in STEPS if step != "promote")


def run(
    root: Path,
    instance: dg.DagsterInstance,
    steps: tuple[str, ...] = DEFAULT_STEPS,
    categories: tuple[str, ...] = (),
    force: bool = False,
) -> list[dg.ExecuteInProcessResult]:
    """Run these steps, in order; the next job starts where the one before succeeded.

    Args:
        root: the repository.
        instance: keeps the history.
        steps: names of steps.
        categories: only these in partitioned steps; empty means all.
        force: also what is current.

    Returns:
        One result a job; failures are in it, not raised.
    """
    repository = build(root)
    tags = {DRIVER_TAG: driver()}
    if not force:
        tags[SKIP_CURRENT_TAG] = "true"
    if categories:
        tags[CATEGORIES_TAG] = ",".join(categories)
    results: list[dg.ExecuteInProcessResult] = []
    for job, members in jobs().items():
        wanted = {*steps, BATCHES} if "ingest" in steps else set(steps)
        chosen = tuple(step for step in members if step in wanted)
        if chosen and all(result.success for result in results):
            result = repository.resolve_job_def(job).execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(step) for step in chosen],
                tags=tags | all_partitions(chosen),
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
            results.append(result)
    return results


def failures(results: list[dg.ExecuteInProcessResult]) -> list[str]:
    """Failed steps and checks, each with its cause; a failed fan-out names its categories.

    A check that only warns is no failure.
    """
    return [line for result in results for line in _failures(result)]


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    lines = []
    for check in result.get_asset_check_evaluations():
        if not check.passed and check.severity != dg.AssetCheckSeverity.WARN:
            shown = ", ".join(f"{name} {value.value}" for name, value in check.metadata.items())
            lines.append(
                f"{check.asset_key.to_user_string()}: check {check.check_name} failed: {shown}"
            )
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        error = event.step_failure_data.error
        if error is None or error.cls_name != "DagsterAssetCheckFailedError":  # told above
            lines.append(f"{event.step_key}: {cause(event.step_failure_data)}")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when every chosen step is done or was current."""
    parser = argparse.ArgumentParser("python -m pipelines.run", description=__doc__)
    parser.add_argument("--select", nargs="+", choices=STEPS, metavar="STEP", default=DEFAULT_STEPS)
    parser.add_argument("--category", nargs="+", choices=CATEGORY_NAMES, metavar="CATEGORY", default=())
    parser.add_argument("--force", action="store_true", help="also what is current")
    parser.add_argument("--summary", action="store_true", help="show results and what to do next")
    given = parser.parse_args(arguments)
    root = find_root()
    prepare_home(root)
    start = time.monotonic()
    with dg.DagsterInstance.get() as instance:
        if busy := runs_in_progress(instance):
            say(
                f"run {busy[0]} is in progress in this workspace; wait for it or terminate it in the UI"
            )
            return 2
        results = run(root, instance, tuple(given.select), tuple(given.category), given.force)
        problems = failures(results)
    if problems or not all(result.success for result in results):
        say("\n".join(["failed:", *problems, "what is done stays; run again to go on from here"]))
        return 1
    say(f"done in {time.monotonic() - start:.0f} s")
    if given.summary:
        from pipelines.summary import show

        show(Workspace(root))
    return 0


if __name__ == "__main__":
    sys.exit(main())
