"""Runs of the pipeline in processes that are born with all imports done, and die where they are told.

One process imports Dagster, torch, Ray and MLflow once and forks for each run, which costs no start-up.
It reads an ``Order`` a line from standard input and answers with the pid, then with the exit status.
With ``SMALL_STAGES`` set, steps write the small files of tests/pipelines; the registry's are real.
"""

import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

HALF, UNRECORDED, RECORDED = "half written", "not recorded", "recorded"
UPLOADED, UNCROWNED, CROWNED = "uploaded", "before the alias", "after the alias"
HELD_AT_UPLOAD, HELD_AT_REGISTRATION = "held at upload", "held at registration"  # these wait, not die
DOOMED_PARTITION = 3  # of a step with partitions, the third one dies: two have completed


@dataclass(frozen=True)
class Order:
    """One run: a new one, or the re-execution of ``parent`` from its failure; or a model to load."""

    parent: str | None = None
    moment: str | None = None  # of the process's death, in the first step that is not in ``spare``
    spare: tuple[str, ...] = ()
    load: str | None = None


class Nursery:
    """The process, and what one asks of it; a context manager."""

    def __init__(self, root: Path, env: dict[str, str], log: Path) -> None:
        self._log = log.open("a")
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=root,
            env=env,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)
        self._log.close()

    def begin(self, order: Order) -> int:
        """Start a run; returns its pid."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> int:
        """Wait for the run; returns its exit status, negative for a signal."""
        return self._answer()

    def run(self, order: Order) -> int:
        """Start a run and wait for it; returns its exit status."""
        self.begin(order)
        return self.end()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the nursery is gone: {Path(self._log.name).read_text()[-3000:]}")
        return int(line)


def die() -> None:
    """What the kernel does to a process for which it has no memory left."""
    os.kill(os.getpid(), signal.SIGKILL)


def hold() -> None:
    """Say that the moment is there, and wait to be let go."""
    Path(".held").touch()
    while not Path(".go").exists():
        time.sleep(0.05)


def arm(order: Order) -> None:
    """Make this process die, or wait, at the moment that ``order`` names."""
    from mlflow import MlflowClient

    from fashion_ops.ledger import Ledger

    seen: Counter[str] = Counter()

    def doomed(stage: str) -> bool:
        step, _, partition = stage.partition("@")
        seen[step] += 1
        return step not in order.spare and (not partition or seen[step] == DOOMED_PARTITION)

    if order.moment == HALF:
        ledger = Ledger(Path())
        outputs = {
            Path(out.fs_path): name for name in ledger.stages() for out in ledger.defined[name].outs
        }
        rename = Path.rename

        def torn(self: Path, target: Any) -> Path:
            stage = outputs.get(Path(target).resolve())
            if stage is not None and self.name.endswith(".partial") and doomed(stage):
                files = [path for path in self.rglob("*") if path.is_file()]
                largest = max(files, key=lambda path: path.stat().st_size)
                os.truncate(largest, largest.stat().st_size // 2)
                die()
            return rename(self, target)

        Path.rename = torn  # type: ignore[method-assign,assignment]
    elif order.moment in (UNRECORDED, RECORDED):
        commit = Ledger.commit

        def cut(self: Ledger, name: str, snapshot: Any) -> Any:
            now = doomed(name)
            if now and order.moment == UNRECORDED:
                die()
            entry = commit(self, name, snapshot)
            if now:
                die()
            return entry

        Ledger.commit = cut  # type: ignore[method-assign]
    elif order.moment in (UPLOADED, HELD_AT_REGISTRATION):
        create, act = MlflowClient.create_model_version, die if order.moment == UPLOADED else hold

        def stopped(*arguments: Any, **more: Any) -> Any:
            act()
            return create(*arguments, **more)

        MlflowClient.create_model_version = stopped  # type: ignore[method-assign,assignment]
    elif order.moment == HELD_AT_UPLOAD:
        from fashion_ops.registry import client as registry

        upload = registry.register

        def waiting(*arguments: Any, **more: Any) -> Any:
            hold()
            return upload(*arguments, **more)

        registry.register = waiting
    else:
        crown = MlflowClient.set_registered_model_alias

        def interrupted(self: Any, name: str, alias: str, version: Any) -> None:
            if alias == "champion" and order.moment == UNCROWNED:
                die()
            crown(self, name, alias, version)
            if alias == "champion":
                die()

        MlflowClient.set_registered_model_alias = interrupted  # type: ignore[method-assign,assignment]


def execute(order: Order) -> int:
    """One run in this process; 0 when all of it succeeded."""
    import dagster as dg
    from dagster._core.definitions.reconstruct import ReconstructableRepository
    from dagster._core.storage.tags import RESUME_RETRY_TAG

    from pipelines.jobs import stale_only_tags
    from pipelines.run_owner import OWNER_TAG, this_process

    if order.load is not None:
        return 0 if load(order.load) else 1
    if order.moment is not None:
        arm(order)
    repository = ReconstructableRepository.for_module("pipelines.definitions", "defs")
    tags, again = {**stale_only_tags("pipeline"), OWNER_TAG: this_process()}, None
    with dg.DagsterInstance.get() as instance:
        if order.parent is not None:
            tags |= {RESUME_RETRY_TAG: "true"}
            again = dg.ReexecutionOptions.from_failure(order.parent, instance)
        with dg.execute_job(
            repository.get_reconstructable_job("pipeline"),
            instance,
            tags=tags,
            reexecution_options=again,
            raise_on_error=False,
        ) as result:
            return 0 if result.success else 1


def load(source: str) -> bool:
    """Whether a registered model can be had: loaded, or with small stages all of its files."""
    from fashion_ops.registry import client as registry

    if "SMALL_STAGES" not in os.environ:
        importlib.import_module("fashion_ops").load(source)
        return True
    bundle = registry.fetch_bundle(source)
    models = [bundle / "detector", *(bundle / "refined").iterdir(), *(bundle / "finetuned").iterdir()]
    return len(models) == 27 and all((model / "model.json").read_text() for model in models)


def use_small_stages() -> None:
    """Put the stages of tests/pipelines in the place of all that train or read data."""
    from fashion_ops.distributed import by_category
    from fashion_ops.registry import tracking
    from fashion_ops.steps import REGISTRY, STEPS

    path = Path(__file__).parent / "pipelines" / "conftest.py"
    spec = importlib.util.spec_from_file_location("small_stages", path)
    assert spec is not None and spec.loader is not None
    small: Any = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = small
    spec.loader.exec_module(small)
    stages = small.FakeSteps()
    for step in STEPS:
        if step not in REGISTRY or step.endswith("_alignment"):
            sys.modules[f"fashion_ops.steps.{step}"] = stages.module(step)
    by_category.fan_out = small.in_process
    runs = MagicMock()
    runs.of_categories.return_value.page = lambda name: f"http://mlflow/{name}"
    tracking.CategoryRuns = runs
    from measured import measured

    from fashion_ops.inference import reproduction
    from fashion_ops.steps import promote, register

    register.write_evaluation = lambda *_: None  # small models predict nothing
    promote.measure = measured  # so the gate decides by metrics.json
    same = reproduction.Reproduction(reproduction.NO_DEVIATION, frozenset(), frozenset())
    reproduction.reproduce_evaluation = lambda *_: same


def main() -> None:
    """Import everything, then fork for each order."""
    import dagster as dg

    small = "SMALL_STAGES" in os.environ
    for module in ("dvc.repo", "fashion_ops.registry.client", "fashion_ops.distributed.by_category"):
        importlib.import_module(module)
    from fashion_ops.steps import REGISTRY, STEPS

    if small:
        use_small_stages()
    for step in REGISTRY if small else STEPS:
        importlib.import_module(f"fashion_ops.steps.{step}")
    importlib.import_module("pipelines.definitions")
    with dg.DagsterInstance.get():  # imports its storage
        pass
    for line in sys.stdin:
        child = os.fork()
        if not child:
            status = 1
            try:
                os.dup2(2, 1)  # answers are the parent's
                status = execute(Order(**json.loads(line)))
            except BaseException:
                traceback.print_exc()
            os._exit(status)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
