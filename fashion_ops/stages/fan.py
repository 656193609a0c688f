"""The 13 runs of ``finetune`` or ``refine`` on the fleet; not a step itself.

Each category is prepared, worked, published and recorded in the ledger on its own: what landed stays,
whatever happens to the others.
"""

import importlib
from collections.abc import Callable, Iterable

import pandas as pd

from fashion_ops.fleet import Job, fan_out
from fashion_ops.ledger import Ledger
from fashion_ops.lockfile import LockEntry
from fashion_ops.params import Params, load_params
from fashion_ops.stages.jobs import Result
from fashion_ops.taxonomy import category as find_category
from fashion_ops.workspace import Workspace

Landed = Callable[[str, dict[str, float], LockEntry], None]


def run_all(
    step: str, params: Params, ws: Workspace, categories: Iterable[str], landed: Landed
) -> None:
    """Run a step for these categories, longest first.

    Args:
        step: ``finetune`` or ``refine``.
        params: as just read from ``ws.params``.
        ws: the workspace.
        categories: by name.
        landed: called with (category, metrics, lock entry) for each one that is published and recorded.

    Raises:
        FanOutError: at the end, naming the categories that failed; all others are done.
        LedgerError: an input of a category is missing; nothing was started.
        ValueError: ``params`` is no longer what the file says.
    """
    module = importlib.import_module(f"fashion_ops.stages.{step}")
    ledger = Ledger(ws.root)
    snapshots = {name: ledger.before(f"{step}@{name}") for name in categories}
    if load_params(ws.params) != params:
        raise ValueError(f"{ws.params}: changed while {step} was starting; run the step again")
    garments = _training_garments(ws)

    def job(name: str) -> Job:
        epochs = getattr(params.categories[name], step).epochs
        cost = epochs * garments.get(find_category(name).id, 0)
        return Job(name, snapshots[name].digest, cost, lambda: module.prepare(params, ws, name))

    def land(name: str, result: Result) -> None:
        metrics = module.publish(ws, name, result)
        landed(name, metrics, ledger.commit(f"{step}@{name}", snapshots[name]))

    fan_out(step, [job(name) for name in snapshots], module.work, land, params.fleet, ws.checkpoints)


def _training_garments(ws: Workspace) -> dict[int, int]:
    """Garments to train on, by category id."""
    rows = pd.read_parquet(ws.catalog / "garments.parquet", columns=["split", "category_id"])
    counts = rows.loc[rows["split"] == "train", "category_id"].value_counts()
    return {int(category_id): int(n) for category_id, n in zip(counts.index, counts, strict=True)}
