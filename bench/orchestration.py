"""Overhead of orchestration: each step by Dagster and by ``dvc repro``, beside its bare functions.

    python -m bench.orchestration [--steps STEP ...]

Three copies of this repository have the tests' tiny parameters. In one the functions of the steps are
called one after the other in one process, in one a Dagster run does this in process, and in one ``dvc
repro`` starts a process for each stage. The overhead of a step is its time minus that of its functions;
a step with 13 categories is 13 stages. The time includes Ray's start and its workers' import of torch.
Dagster and DVC then run once more with nothing to do.
"""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.processor_time import Meter
from fashion_ops.params import load_params
from fashion_ops.steps import PARTITIONS, REGISTRY, STEPS
from fashion_ops.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from clone import Clone, clone_into

MEASURED = tuple(step for step in STEPS if step not in REGISTRY)
Spans = list[tuple[str, float, float]]  # name, start, end: seconds of time.time()
Measure = Callable[[Path, Sequence[str]], Spans]
Times = dict[str, tuple[float, float]]  # name -> processor seconds, wall seconds


def direct(root: Path, steps: Sequence[str]) -> Spans:
    """Call each step's functions in this process, with everything imported before."""
    ws, spans = Workspace(root), []
    params = load_params(ws.params)
    modules = {step: importlib.import_module(f"fashion_ops.steps.{step}") for step in steps}
    begin = time.time()
    for step, module in modules.items():
        start = time.time()
        for key in PARTITIONS.get(step, [None]):
            module.run(params, ws, key) if key else module.run(params, ws)
        spans.append((step, start, time.time()))
    return [*spans, ("all", begin, time.time())]


def by_dagster(root: Path, steps: Sequence[str]) -> Spans:
    """Run Dagster in this process: spans of the steps, ``all``, and ``again``, which skips all."""
    import dagster as dg

    from pipelines.home import prepare_home
    from pipelines.run import failures, run

    for step in steps:
        importlib.import_module(f"fashion_ops.steps.{step}")
    prepare_home(root)
    spans: Spans = []
    with dg.DagsterInstance.get() as instance:
        for name in ("all", "again"):
            start = time.time()
            results = run(root, instance, tuple(steps))
            spans.append((name, start, time.time()))
            assert all(result.success for result in results), failures(results)
            stats = [s for r in results for s in instance.get_run_step_stats(r.run_id)]
            if name == "all":
                spans += [
                    (s.step_key if s.step_key in steps else "checks", s.start_time, s.end_time)
                    for s in stats
                ]
    return spans


def by_dvc(clone: Clone, steps: Sequence[str]) -> Times:
    """Times of the steps of ``dvc repro``, read off its output, and of ``again``."""
    spans: Spans = []
    step, begin = "", time.time()
    since = begin
    process = subprocess.Popen(
        ["dvc", "repro", *steps], cwd=clone.root, env=clone.env, stdout=subprocess.PIPE, text=True
    )
    with Meter(process.pid) as meter:
        for line in process.stdout or []:
            if line.startswith("Running stage '"):
                now = time.time()
                spans += [(step, since, now)] if step else []
                step, since = line.split("'")[1].partition("@")[0], now
        spans += [(step, since, time.time()), ("all", begin, time.time())]
    if process.wait():
        raise SystemExit("dvc repro failed")
    with Meter() as idle_meter:
        start = time.time()
        clone.run("dvc", "repro", *steps)
        end = time.time()
    return times(spans, meter) | times([("again", start, end)], idle_meter)


def times(spans: Iterable[tuple[str, float, float]], meter: Meter) -> Times:
    """Sums of the spans of each name."""
    sums: Times = {}
    for name, start, end in spans:
        used, wall = sums.get(name, (0.0, 0.0))
        sums[name] = used + meter.between(start, end), wall + end - start
    return sums


def in_subprocess(name: str, clone: Clone, steps: Sequence[str]) -> Times:
    """Run ``direct`` or ``by_dagster`` in its own process."""
    command = [sys.executable, "-m", "bench.orchestration", "--within", name, "--root", str(clone.root)]
    command += ["--steps", *steps]
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[1],
        env={**clone.env, "FASHION_OPS_ROOT": str(clone.root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with Meter(process.pid) as meter:
        printed = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"{name} failed")
    return times(json.loads(printed.strip().splitlines()[-1]), meter)


def table(steps: Sequence[str], bare: Times, dagster: Times, dvc: Times) -> str:
    """Markdown table of the three with the overhead a stage: processor seconds (wall seconds)."""
    lines = [
        "| step | stages | functions | Dagster | more, a stage | `dvc repro` | more, a stage |",
        "|---|---|---|---|---|---|---|",
    ]
    stages = {step: len(PARTITIONS.get(step, [None])) for step in steps}
    for step in (*steps, "all"):
        n = stages.get(step) or sum(stages.values())
        cells = [f"{step}" if step in stages else "all", str(n), both(bare[step])]
        for orchestrated in (dagster, dvc):
            more = [(orchestrated[step][i] - bare[step][i]) / n for i in (0, 1)]
            cells += [both(orchestrated[step]), f"{more[0]:+.2f} ({more[1]:+.2f})"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"Asset checks in Dagster's runs: {both(dagster['checks'])}."]
    lines.append(f"Again, nothing to do: Dagster {both(dagster['again'])}, dvc {both(dvc['again'])}.")
    return "\n".join(lines)


def both(pair: tuple[float, float]) -> str:
    """Processor seconds with wall seconds in parentheses."""
    return f"{pair[0]:.2f} ({pair[1]:.2f})"


def main() -> None:
    """Run all three and print the table."""
    parser = argparse.ArgumentParser("python -m bench.orchestration", description=__doc__)
    parser.add_argument("--steps", nargs="+", choices=MEASURED, metavar="STEP", default=MEASURED)
    parser.add_argument("--within", choices=["direct", "by_dagster"], help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.within:
        measure: Measure = {"direct": direct, "by_dagster": by_dagster}[args.within]
        print(json.dumps(measure(args.root, args.steps)))
        return
    with tempfile.TemporaryDirectory(prefix="orchestration-") as folder:
        names = ("functions", "dagster", "dvc")
        clones = {name: clone_into(Path(folder, name, "fashion-ops")) for name in names}
        bare = in_subprocess("direct", clones["functions"], args.steps)
        dagster = in_subprocess("by_dagster", clones["dagster"], args.steps)
        dvc = by_dvc(clones["dvc"], args.steps)
    print(table(args.steps, bare, dagster, dvc))


if __name__ == "__main__":
    main()
