"""Runs of the pipeline in Dagster: what they make, record, skip, and leave when something fails."""

from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus

from fashion_ops.steps import PARTITIONS, REGISTRY, STEPS
from pipelines import lineage
from pipelines.definitions import build
from pipelines.run import DEFAULT_STEPS, failures, run
from pipelines.steps import steps_by_job


def stages_of(*steps: str) -> list[str]:
    """``finetune`` -> ``finetune@short_sleeve_top``, ...; other steps as they are."""
    return [
        stage
        for step in steps
        for stage in ([f"{step}@{name}" for name in PARTITIONS[step]] if step in PARTITIONS else [step])
    ]


RECORDED = stages_of(*(step for step in STEPS if step not in REGISTRY))


def status(repository: Any) -> dict[str, StaleStatus]:
    """What Dagster itself finds of every recorded stage."""
    graph = build(repository.root).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(
        repository.instance, graph, dg_loading_context(repository.instance)
    )
    return {
        stage: resolver.get_status(dg.AssetKey(step), category)
        for stage in RECORDED
        for step, category in [lineage.split(stage)]
    }


def dg_loading_context(instance: dg.DagsterInstance) -> Any:
    from dagster._core.loader import LoadingContextForTest

    return LoadingContextForTest(instance)


def fresh(repository: Any) -> set[str]:
    return {stage for stage, found in status(repository).items() if found == StaleStatus.FRESH}


def set_lr(repository: Any, category: str, lr: float) -> None:
    text = repository.ws.params.read_text()
    lines = [
        line.replace("lr: 0.0005", f"lr: {lr}", 1) if line.strip().startswith(f"{category}:") else line
        for line in text.splitlines()
    ]
    assert "\n".join(lines) + "\n" != text
    repository.ws.params.write_text("\n".join(lines) + "\n")


def versions(repository: Any) -> dict[str, str]:
    """The data versions that Dagster knows."""
    found = {}
    for stage in RECORDED:
        record = lineage.latest(repository.instance, *lineage.split(stage))
        if record is not None:
            found[stage] = record.event_log_entry.tags["dagster/data_version"]
    return found


def observations(results: Any) -> list[tuple[str, dict[str, Any]]]:
    """(stage, metadata) of each observation, in order."""
    found = []
    for event in [e for result in results for e in result.get_asset_observation_events()]:
        seen = event.asset_observation_data.asset_observation
        name = event.asset_key.to_user_string() + (f"@{seen.partition}" if seen.partition else "")
        found.append((name, {key: value.value for key, value in seen.metadata.items()}))
    return found


def test_a_run_records_everything_and_the_next_one_skips_it(repository: Any, stages: Any) -> None:
    result = run(repository.root, repository.instance)
    assert failures(result) == []
    assert sorted(stages.calls) == sorted([*RECORDED, "register"])
    order = [stage.partition("@")[0] for stage in stages.calls]
    assert order.index("refine") > order.index("finetune")
    assert order.index("register") == order.index("evaluate") + 1 > order.index("refine")
    seen = observations(result)
    epochs = [(stage, metadata) for stage, metadata in seen if "epoch" in metadata]
    evaluated = [(stage, metadata) for stage, metadata in seen if "epoch" not in metadata]
    assert sorted(stage for stage, _ in epochs) == sorted(stages_of("finetune", "refine"))
    assert epochs[0][1]["loss"] == 0.5  # as it happened
    assert sorted(stage for stage, _ in evaluated) == sorted(stages_of("finetune", "refine"))
    assert evaluated[0][1].keys() == {"AP mean_shape"} or "AP refined" in evaluated[-1][1]
    assert repository.ledger.stale() == {}
    entries = repository.ledger.entries()
    assert versions(repository) == {stage: entries[stage].data_version for stage in RECORDED}
    assert len({versions(repository)[stage] for stage in stages_of("finetune")}) == 13
    assert fresh(repository) == set(RECORDED)
    events = repository.instance.fetch_materializations(dg.AssetKey("finetune"), limit=100).records
    assert len(events) == 13  # Dagster added none of its own

    stages.calls.clear()
    result = run(repository.root, repository.instance)
    assert failures(result) == []
    assert stages.calls == ["register"]  # which decides for itself
    assert fresh(repository) == set(RECORDED)
    skipped = {
        stage: metadata["dvc md5"] for stage, metadata in observations(result) if "skipped" in metadata
    }
    assert skipped == {stage: entries[stage].data_version for stage in RECORDED}
    tags = [repository.instance.get_run_by_id(r.run_id).tags["fashion_ops/current"] for r in result]
    assert set(", ".join(tags).split(", ")) == set(STEPS) - set(REGISTRY)

    # One category's learning rate: that category and what follows from it.
    set_lr(repository, "skirt", 0.007)
    assert set(repository.ledger.stale()) == {"finetune@skirt", "refine@skirt", "evaluate"}
    stages.calls.clear()
    assert failures(run(repository.root, repository.instance)) == []
    assert stages.calls == ["finetune@skirt", "refine@skirt", "evaluate", "register"]
    assert repository.ledger.stale() == {} and fresh(repository) == set(RECORDED)

    # A materialization by hand forces; categories need not be neighbours.
    stages.calls.clear()
    chosen = ("vest", "trousers")
    forced = run(repository.root, repository.instance, ("aggregate", "finetune"), chosen, force=True)
    assert failures(forced) == []
    assert sorted(stages.calls) == ["aggregate", "finetune@trousers", "finetune@vest"]
    assert repository.ledger.stale() == {} and fresh(repository) == set(RECORDED)


def test_one_category_fails_twelve_stay_and_the_retry_runs_only_that_one(
    repository: Any, stages: Any
) -> None:
    stages.failing["finetune@skirt"] = ValueError("loss is not finite")
    result = run(repository.root, repository.instance)
    assert not result[0].success
    assert failures(result) == ["finetune: finetune: 1 of 13 failed: skirt: loss is not finite"]
    assert "refine@vest" not in stages.calls and "evaluate" not in stages.calls
    done = set(stages_of("finetune")) - {"finetune@skirt"}
    entries = repository.ledger.entries()
    assert {stage for stage in entries if stage.startswith("finetune@")} == done
    known = {stage: v for stage, v in versions(repository).items() if stage.startswith("finetune@")}
    assert known == {stage: entries[stage].data_version for stage in done}
    assert len(set(known.values())) == 12
    assert {s for s, found in status(repository).items() if found == StaleStatus.MISSING} == {
        "finetune@skirt",
        *stages_of("refine", "evaluate"),
        # the next job waits for the one before
        *{*stages_of(*steps_by_job()["alignment"])} & {*RECORDED},
    }
    stages.calls.clear()
    stages.failing.clear()
    assert failures(run(repository.root, repository.instance, ("finetune",))) == []
    assert stages.calls == ["finetune@skirt"]
    assert set(stages_of("finetune")) <= fresh(repository)


def test_inputs_that_change_while_a_step_runs_are_not_recorded(repository: Any, stages: Any) -> None:
    def edit(stage: str) -> None:
        if stage == "aggregate":
            (repository.ws.catalog / "text").write_text("edited meanwhile")

    stages.during = edit
    result = run(repository.root, repository.instance)
    assert not result[0].success
    assert "aggregate: changed while the step ran: data/catalog" in "\n".join(failures(result))
    assert "aggregate" not in repository.ledger.entries()
    assert lineage.latest(repository.instance, "aggregate", None) is None


def test_a_model_worse_than_the_mean_shape_is_not_registered(repository: Any, stages: Any) -> None:
    stages.refined_ap = 0.05
    result = run(repository.root, repository.instance)
    assert not result[0].success and "register" not in stages.calls
    [failure] = failures(result)
    assert failure.startswith("evaluate: check beats_mean_shape failed: refined 0.05, mean_shape 0.1")
    assert "evaluate" in repository.ledger.entries()


@pytest.mark.parametrize("steps", [("synthesize",), DEFAULT_STEPS[:3]])
def test_chosen_steps_alone(repository: Any, stages: Any, steps: tuple[str, ...]) -> None:
    result = run(repository.root, repository.instance, steps)
    assert failures(result) == [] and stages.calls == list(steps)
