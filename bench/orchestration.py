"""What orchestration costs: each step by Dagster and by ``dvc repro``, beside the bare stage functions.

    python -m bench.orchestration

Three copies of this repository with the tests' tiny parameters: in one the stage functions are called
one after the other in one process; in one a Dagster run does the same in process; in one
``dvc repro`` does it, a process a stage. The overhead of a step is its time less that of its
functions, a stage of a step with 13 categories getting a thirteenth. Also printed: how long the code
location takes to load, and a run like a scheduled tick's on unchanged data. Ray starts once a run and
is part of what is measured.
"""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fashion_ops.params import load_params
from fashion_ops.stages import PARTITIONS, REGISTRY, STEPS
from fashion_ops.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from clone import Clone, clone_into

MADE = tuple(step for step in STEPS if step not in REGISTRY)
Times = dict[str, float]


def direct(root: Path) -> Times:
    """Seconds of each step's functions in this process, imports done before."""
    ws, times = Workspace(root), {}
    params = load_params(ws.params)
    modules = {step: importlib.import_module(f"fashion_ops.stages.{step}") for step in MADE}
    for step, module in modules.items():
        start = time.perf_counter()
        for key in PARTITIONS.get(step, [None]):
            module.run(params, ws, key) if key else module.run(params, ws)
        times[step] = time.perf_counter() - start
    return times


def by_dagster(root: Path) -> Times:
    """Seconds of each step in one Dagster run; ``load``; ``tick``: of a second one that skips all."""
    start = time.perf_counter()
    import dagster as dg

    from pipelines.definitions import build
    from pipelines.home import prepare_home
    from pipelines.run import run

    build(root)
    times = {"load": time.perf_counter() - start}
    for step in MADE:
        importlib.import_module(f"fashion_ops.stages.{step}")
    prepare_home(root)
    with dg.DagsterInstance.get() as instance:
        for result in run(root, instance):
            assert result.success
            stats = instance.get_run_step_stats(result.run_id)
            times |= {s.step_key: s.end_time - s.start_time for s in stats if s.step_key in MADE}
        start = time.perf_counter()
        versions = [_version(result) for result in run(root, instance)]
        times["tick"] = time.perf_counter() - start
    assert not any(new for new in versions), "a run on unchanged data made a new version"
    return times


def _version(result: object) -> bool:
    """Whether ``register`` made a version in this run."""
    events = result.asset_materializations_for_node("register") if result.success else []
    return any(event.metadata["new"].value for event in events)


def by_dvc(clone: Clone) -> Times:
    """Seconds of each step under ``dvc repro``, told apart by what it prints."""
    times: Times = {}
    step, since = None, time.perf_counter()
    process = subprocess.Popen(
        ["dvc", "repro"], cwd=clone.root, env=clone.env, stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout or []:
        if line.startswith("Running stage '"):
            now = time.perf_counter()
            if step:
                times[step] = times.get(step, 0.0) + now - since
            step, since = line.split("'")[1].partition("@")[0], now
    if step:
        times[step] = times.get(step, 0.0) + time.perf_counter() - since
    if process.wait():
        raise SystemExit("dvc repro failed")
    start = time.perf_counter()
    clone.run("dvc", "repro")
    return times | {"tick": time.perf_counter() - start}


def report(bare: Times, dagster: Times, dvc: Times) -> str:
    """The three as a table, with the overhead of a stage."""
    lines = [f"{'step':22}{'bare s':>8}{'Dagster':>9}{'a stage':>9}{'dvc':>8}{'a stage':>9}"]
    worst = {"Dagster": 0.0, "dvc repro": 0.0}
    for step in MADE:
        n = len(PARTITIONS.get(step, [None]))
        over = [(found[step] - bare[step]) / n for found in (dagster, dvc)]
        worst = {k: max(v, o) for (k, v), o in zip(worst.items(), over, strict=True)}
        lines.append(
            f"{step:22}{bare[step]:8.2f}{dagster[step]:9.2f}{over[0]:+9.2f}{dvc[step]:8.2f}{over[1]:+9.2f}"
        )
    lines += [f"largest overhead of a stage, {name}: {value:+.2f} s" for name, value in worst.items()]
    lines.append(f"code location loads in {dagster['load']:.1f} s")
    lines.append(f"unchanged data: Dagster {dagster['tick']:.1f} s, dvc repro {dvc['tick']:.1f} s")
    return "\n".join(lines)


def main() -> None:
    """Run all three and print the table."""
    parser = argparse.ArgumentParser("python -m bench.orchestration", description=__doc__)
    parser.add_argument("--within", choices=["direct", "by_dagster"], help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.within:
        measure: Callable[[Path], Times] = {"direct": direct, "by_dagster": by_dagster}[given.within]
        print(json.dumps(measure(given.root)))
        return
    with tempfile.TemporaryDirectory(prefix="orchestration-") as folder:
        found = {}
        for name in ("direct", "by_dagster"):
            clone = clone_into(Path(folder, name, "fashion-ops"))
            bench = Path(__file__).parents[1]
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "bench.orchestration",
                    "--within",
                    name,
                    "--root",
                    str(clone.root),
                ],
                cwd=bench,
                env={**clone.env, "FASHION_OPS_ROOT": str(clone.root)},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            found[name] = json.loads(done.stdout.strip().splitlines()[-1])
        dvc = by_dvc(clone_into(Path(folder, "dvc", "fashion-ops")))
    print(report(found["direct"], found["by_dagster"], dvc))


if __name__ == "__main__":
    main()
