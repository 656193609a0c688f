"""One asset a step, under the step's own name.

Each does the same three things: note the inputs, call the stage function, record the result in
``dvc.lock``. ``finetune`` and ``refine`` are partitioned by category; one run takes any number of
categories, spreads them over Ray and logs each one as it lands with a data version of its own.

Run tags: ``fashion_ops/skip_current`` leaves out what the ledger calls current (a plain materialization
forces); ``fashion_ops/categories`` names categories that need not be neighbours.
"""

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.tags import RESUME_RETRY_TAG

from fashion_ops.ledger import Ledger
from fashion_ops.stages import PARTITIONED, REGISTRY
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace
from pipelines import lineage
from pipelines.drivers import note_driver
from pipelines.home import House

CATEGORIES = dg.StaticPartitionsDefinition(list(CATEGORY_NAMES))
SKIP_CURRENT_TAG = "fashion_ops/skip_current"
CATEGORIES_TAG = "fashion_ops/categories"


def say(text: str) -> None:
    """A line for whoever watches the terminal or the step's log."""
    print(text, file=sys.stderr, flush=True)


def _may_skip(context: dg.AssetExecutionContext) -> bool:
    """Whether what is current may be left out: when asked for, and in a re-execution from failure."""
    return "true" in (context.run.tags.get(tag) for tag in (SKIP_CURRENT_TAG, RESUME_RETRY_TAG))


def run_step(context: dg.AssetExecutionContext, house: House) -> dg.MaterializeResult:
    """Run a step and record it; or, where that is allowed, find it current."""
    step, ledger, ws = context.asset_key.to_user_string(), house.ledger, house.workspace
    if _may_skip(context) and ledger.is_current(step):
        say(f"{step}: current")
        _catch_up(context, ledger, [step])
        return lineage.no_event()
    say(f"{step}: started")
    snapshot = ledger.before(step)
    metrics = importlib.import_module(f"fashion_ops.stages.{step}").run(house.params(), ws)
    entry = ledger.commit(step, snapshot)
    event = lineage.materialization(context.instance, entry, ledger.entries(), PARENTS[step])
    return dg.MaterializeResult(
        data_version=dg.DataVersion(entry.data_version),
        tags=event.tags,
        metadata=_metadata(metrics) | (_judgement(ws) if step == "evaluate" else {}),
    )


def run_categories(context: dg.AssetExecutionContext, house: House) -> dg.MaterializeResult:
    """Run a partitioned step for the run's categories, each recorded and logged as it lands."""
    step, ledger, ws = context.asset_key.to_user_string(), house.ledger, house.workspace
    wanted = list(context.partition_keys)
    if chosen := context.run.tags.get(CATEGORIES_TAG):
        wanted = [name for name in wanted if name in chosen.split(",")]
    if _may_skip(context):
        current = [name for name in wanted if ledger.is_current(f"{step}@{name}")]
        _catch_up(context, ledger, [f"{step}@{name}" for name in current])
        wanted = [name for name in wanted if name not in current]
    say(f"{step}: {len(wanted)} to do" if wanted else f"{step}: current")
    if not wanted:
        return lineage.no_event()
    from fashion_ops.fleet.fan_out import FanOutError
    from fashion_ops.stages.fan import run_all

    def landed(category: str, metrics: dict[str, float], entry: Any) -> None:
        event = lineage.materialization(
            context.instance, entry, ledger.entries(), PARENTS[step], _metadata(metrics)
        )
        context.log_event(event)

    def told(category: str, epoch: int, metrics: Mapping[str, float]) -> None:
        shown = {"epoch": epoch, **_metadata(metrics)}
        context.log_event(dg.AssetObservation(step, partition=category, metadata=shown))

    try:
        run_all(step, house.params(), ws, wanted, landed, told)
    except FanOutError as error:
        causes = {name: f"{type(cause).__name__}: {cause}" for name, cause in error.failures.items()}
        raise dg.Failure(str(error), metadata=causes, allow_retries=False) from error
    return lineage.no_event()


def run_registry(context: dg.AssetExecutionContext, house: House) -> dg.MaterializeResult:
    """``register`` and ``promote``: they change MLflow's registry, not a file that DVC knows."""
    step = context.asset_key.to_user_string()
    say(f"{step}: started")
    stage = importlib.import_module(f"fashion_ops.stages.{step}")
    metrics = stage.run(house.params(), house.workspace)
    return dg.MaterializeResult(metadata=_metadata(metrics))


def _catch_up(context: dg.AssetExecutionContext, ledger: Ledger, stages: list[str]) -> None:
    """Tell Dagster of current entries that were made without it."""
    entries = ledger.entries()
    parents = PARENTS[context.asset_key.to_user_string()]
    for stage in stages:
        if not lineage.is_known(context.instance, entries[stage]):
            context.log_event(
                lineage.materialization(context.instance, entries[stage], entries, parents)
            )


def _metadata(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: float(v) if isinstance(v, int | float) else str(v) for name, v in metrics.items()}


def _judgement(ws: Workspace) -> dict[str, Any]:
    """The table by category and the report's path."""
    judged = json.loads((ws.evaluation / "metrics.json").read_text(encoding="utf-8"))
    rows = [
        dg.TableRecord(
            {"category": name, "box_ap": row["box_ap"], "train": row["train"]} | row["landmark_ap"]
        )
        for name, row in judged["per_category"].items()
    ]
    table = {"by_category": dg.TableMetadataValue(rows, _schema(rows))} if rows else {}
    return table | {"report": dg.MetadataValue.path(str((ws.evaluation / "report.html").resolve()))}


def _schema(rows: list[dg.TableRecord]) -> dg.TableSchema:
    first = rows[0].data
    kinds = {str: "string", int: "int", float: "float"}
    return dg.TableSchema(
        [dg.TableColumn(name, kinds.get(type(v), "float")) for name, v in first.items()]
    )


@dataclass(frozen=True)
class Step:
    """What Dagster shows of a step."""

    name: str
    group: str
    kind: str
    deps: tuple[str, ...]
    text: str


def make_asset(shown: Step, code_version: str | None) -> dg.AssetsDefinition:
    """The asset of one step; ``code_version`` is the ledger's, None for a registry step."""
    name = shown.name
    body: Callable[..., dg.MaterializeResult] = run_step
    more: dict[str, Any] = {}
    if name in PARTITIONED:
        body = run_categories
        more = {"partitions_def": CATEGORIES, "backfill_policy": dg.BackfillPolicy.single_run()}
    elif name in REGISTRY:
        body = run_registry

    def step(context: dg.AssetExecutionContext, house: House) -> dg.MaterializeResult:
        note_driver(context.instance, context.run)
        return body(context, house)

    decorate = dg.asset(
        name=name,
        group_name=shown.group,
        deps=shown.deps,
        description=shown.text,
        kinds={shown.kind},
        code_version=code_version,
        **more,
    )
    return decorate(step)


STEPS_SHOWN = (
    Step("synthesize", "data", "python", (), "The synthetic wardrobe, in DeepFashion2's raw layout."),
    Step("ingest", "data", "parquet", ("synthesize",), "The catalog, and the quarantine."),
    Step("aggregate", "data", "parquet", ("ingest",), "Landmarks of the catalog, grouped."),
    Step("pseudo_label", "data", "parquet", ("ingest",), "Clusters of landmark configurations (DFA)."),
    Step(
        "train_detector",
        "models",
        "pytorch",
        ("ingest", "aggregate"),
        "CenterNet with keypoints (DeepMark++).",
    ),
    Step(
        "tune_postprocess",
        "models",
        "numpy",
        ("ingest", "train_detector"),
        "Parameters of DeepMark++'s four techniques, by grid search on the detector's maps.",
    ),
    Step(
        "train_box_detector",
        "models",
        "pytorch",
        ("ingest",),
        "Cascade R-CNN or Hybrid Task Cascade, where `kind` asks for one.",
    ),
    Step(
        "train_landmarker",
        "models",
        "pytorch",
        ("ingest", "aggregate", "pseudo_label"),
        "Top-down HRNet over all categories (Aggregation and Finetuning).",
    ),
    Step(
        "finetune",
        "models",
        "ray",
        ("ingest", "aggregate", "train_landmarker"),
        "The landmarker, finetuned on one category.",
    ),
    Step(
        "refine",
        "models",
        "ray",
        ("ingest", "aggregate", "finetune"),
        "PoseFix on one category's landmarks.",
    ),
    Step(
        "evaluate",
        "evaluation",
        "python",
        (
            *("ingest", "aggregate", "pseudo_label", "train_detector", "tune_postprocess"),
            *("train_box_detector", "train_landmarker", *PARTITIONED),
        ),
        "OKS-AP and box AP on the validation split, and the report.",
    ),
    Step("register", "registry", "mlflow", ("evaluate",), "All models as one version: challenger."),
    Step("promote", "registry", "mlflow", ("register",), "The challenger becomes champion, or not."),
)
PARENTS: lineage.Parents = {shown.name: shown.deps for shown in STEPS_SHOWN}


def make_assets(root: Path) -> list[dg.AssetsDefinition]:
    """All assets of the repository at ``root``, with the code versions that are there now."""
    versions = Ledger(root).code_versions()
    return [make_asset(shown, versions.get(shown.name)) for shown in STEPS_SHOWN]
