"""Ticks of the retraining schedule with random kills: counts overlapping runs and lost outputs.

Each tick may change a parameter, asks the schedule's guard and starts a run in its own process; the
guard is asked again during the run. Half of the processes are killed (SIGKILL) at a random moment
within the duration of the last whole run. Steps write small files; ledger, Dagster, MLflow and the
registry's steps are the real ones. The table counts faults that must not happen.

    python -m bench.ticks [--ticks 20] [--seed 0]
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import dagster as dg

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the processes are those of the tests of faults

from clone import Clone, clone_into  # noqa: E402
from mortal_runs import Nursery, Order  # noqa: E402

from fashion_ops import CHAMPION_URI  # noqa: E402

WAITING = dg.DagsterRunStatus.NOT_STARTED


@dataclass
class Tally:
    """Counts of what happened; all but the first three must be 0."""

    runs: int = 0
    killed: int = 0
    guarded: int = 0  # ticks that the guard held back during a run
    overlapping: int = 0
    lost: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    no_champion: int = 0
    status: str = ""  # of DVC at the end

    def row(self, ticks: int) -> str:
        """The numbers as a row of the table."""
        return (
            f"| {ticks} | {self.runs} | {self.killed} | {self.guarded} | {self.overlapping} "
            f"| {len(self.lost)} | {len(self.incomplete)} | {self.no_champion} | {self.status} |"
        )


def small_workspace(folder: Path) -> tuple[Clone, dict[str, str]]:
    """A repository for small stages, and the environment of its processes."""
    clone = clone_into(folder / "fashion-ops")
    params = clone.params
    params["promote"] |= {name: 0.0 for name in params["promote"] if name.startswith("min_")}
    clone.set_params(params)
    env = {**clone.env, "SMALL_STAGES": "1", "FASHION_OPS_ROOT": str(clone.root)}
    clone.python("-m", "pipelines.home")
    return clone, env


def files(clone: Clone) -> dict[str, set[str]]:
    """The non-empty files of each output in its place, by stage."""
    names = {}
    for name, entry in clone.lock().items():
        for out in entry["outs"]:
            folder = clone.root / out["path"]
            names[name] = {p.name for p in folder.glob("*") if p.stat().st_size}
    return names


def status(clone: Clone) -> dict[str, list]:
    """``dvc status`` of the evaluation and of everything that it depends on."""
    return json.loads(clone.run("dvc", "status", "--json", "--with-deps", "evaluate").stdout)


def run_ticks(clone: Clone, env: dict[str, str], ticks: int, seed: int) -> Tally:
    """Run ``ticks`` ticks and then one run without a kill."""
    from fashion_ops.ledger import Ledger, damaged_outputs
    from pipelines.jobs import why_not_now

    rng, tally, ledger = random.Random(seed), Tally(), Ledger(clone.root)
    os.environ["DAGSTER_HOME"] = env["DAGSTER_HOME"]
    log = clone.root.parent / "runs.log"
    with Nursery(clone.root, env, log) as nursery, dg.DagsterInstance.get() as instance:
        if nursery.run(Order()) != 0:
            raise RuntimeError(log.read_text()[-3000:])
        duration, whole = 0.0, files(clone)
        for tick in range(ticks):
            if tick == 0 or rng.random() < 0.8:
                params = clone.params
                run = params["categories"][rng.choice(sorted(params["categories"]))]
                run["finetune"]["lr"] = round(rng.uniform(1e-4, 1e-3), 6)
                clone.set_params(params)
            tally.overlapping += why_not_now(instance, "pipeline") is not None
            before, known = set(clone.lock()), len(instance.get_runs())
            pid, begun = nursery.begin(Order()), time.monotonic()
            moment = rng.uniform(0, duration) if tick and rng.random() < 0.5 else None
            while len(runs := instance.get_runs()) == known or runs[0].status == WAITING:
                time.sleep(0.01)
            tally.guarded += why_not_now(instance, "pipeline") is not None
            if moment is not None:
                time.sleep(max(0.0, moment - (time.monotonic() - begun)))
                with suppress(ProcessLookupError):  # it has ended already
                    os.kill(pid, signal.SIGKILL)
            ended = nursery.end()
            if moment is None:
                duration = time.monotonic() - begun
            tally.runs += 1
            tally.killed += ended == -signal.SIGKILL
            if ended > 0:
                raise RuntimeError(f"tick {tick}: {log.read_text()[-3000:]}")
            tally.lost += sorted(before - set(clone.lock()))
            there = files(clone)
            tally.incomplete += [
                name for name, names in there.items() if names and names != whole[name]
            ]
            tally.incomplete += [path for paths in damaged_outputs(ledger).values() for path in paths]
            tally.no_champion += nursery.run(Order(load=CHAMPION_URI)) != 0
            print(tally.row(tick + 1), file=sys.stderr, flush=True)
        tally.overlapping += why_not_now(instance, "pipeline") is not None
        if nursery.run(Order()) != 0:
            raise RuntimeError(log.read_text()[-3000:])
        records = instance.get_run_records(ascending=True)
        spans = [(r.start_time or 0.0, r.end_time or float("inf")) for r in records if r.start_time]
        tally.overlapping += sum(one[1] > two[0] for one, two in pairwise(spans))
    changed = status(clone)
    tally.status = "clean" if not changed else f"{len(changed)} stages changed"
    return tally


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Ticks with random kills")
    parser.add_argument("--ticks", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        clone, env = small_workspace(Path(scratch))
        tally = run_ticks(clone, env, args.ticks, args.seed)
    print(
        "| ticks | runs | killed | waited | overlaps | lost | incomplete | no champion | `dvc status` |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    print(tally.row(args.ticks), flush=True)
    if tally.lost or tally.incomplete:
        print(json.dumps({"lost": tally.lost, "incomplete": tally.incomplete}), file=sys.stderr)


if __name__ == "__main__":
    main()
