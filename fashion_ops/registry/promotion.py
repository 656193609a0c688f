"""How a challenger becomes champion: what all promotions have in common, whatever they measure."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from fashion_ops.registry import client as registry
from fashion_ops.registry import transitions
from fashion_ops.registry.alignment_gate import AlignmentFacts
from fashion_ops.registry.comparing import Measurements
from fashion_ops.registry.dead_runs import close_dead_runs
from fashion_ops.registry.findings import Finding
from fashion_ops.registry.gate import Facts
from fashion_ops.registry.lock import LockHeld
from fashion_ops.reports.promotion import draw_page
from fashion_ops.workspace import write_whole

Decision = Mapping[str, Any]  # the content of promotion.json
Measured = tuple[Measurements[Facts] | Measurements[AlignmentFacts], list[Finding]]


@dataclass(frozen=True)
class Promotable:
    """A registered model that a step promotes.

    Attributes:
        name: of the registered model.
        step: that promotes it.
        made_by: the step that registers a challenger.
        evaluated: what the model is evaluated on, in the plural.
        tags: of the challenger, which are kept with the decision.
        gate: limits of the gate, by their keys in params.yaml.
        folder: for the decision and its page.
    """

    name: str
    step: str
    made_by: str
    evaluated: str
    tags: tuple[str, ...]
    gate: Mapping[str, Any]
    folder: Path


def promote_challenger(
    client: MlflowClient,
    model: Promotable,
    measure: Callable[[ModelVersion, ModelVersion | None], Measured],
    about_run: Mapping[str, str],
    replace_unloadable: bool,
    on_decision: Callable[[Decision], None] | None,
) -> dict[str, Any]:
    """Make the challenger champion if the gate holds.

    Nothing changes if the challenger is champion already, or if another process moves the aliases.

    Args:
        client: from ``client.connect``.
        model: what is promoted.
        measure: measures challenger and champion, None if there is none yet, and applies the rules.
        about_run: facts about this run, such as its id, that are kept in promotion.json.
        replace_unloadable: allow a promotion without comparison where this code can't load the champion
            and its recorded predictions are of other images. Otherwise it keeps serving.
        on_decision: called with the content of promotion.json, if a decision had to be made.

    Returns:
        ``promoted``: whether the challenger is champion now; ``version``: number of the challenger;
        ``champion``: number of the version in use now, 0 for none; ``reasons``: the reasons in words,
        with numbers.

    Raises:
        ValueError: the registry has no challenger.
    """
    close_dead_runs(client)
    challenger, champion = _aliases(client, model)
    events = transitions.history(client, model.name)
    same = champion is not None and champion.version == challenger.version
    if same and (not events or events[-1].done):  # an incomplete event is repaired below
        return _result(True, challenger, challenger, "champion already")
    try:
        purpose = f"promotion of version {challenger.version}"
        with transitions.begin_transition(client, model.name, purpose) as transition:
            challenger, champion = _aliases(client, model)  # they may have moved meanwhile
            if champion is not None and champion.version == challenger.version:
                return _result(True, challenger, challenger, "champion already")
            for version in filter(None, (challenger, champion)):
                registry.keep_run(client, version)
            measured = measure(challenger, champion)
            decision = _decide(model, challenger, champion, measured, about_run, replace_unloadable)
            _record(client, model.folder, challenger, decision)
            if on_decision is not None:
                on_decision(decision)
            why = "; ".join(decision["reasons"])
            if why:
                transition.refuse(str(challenger.version), why)
                return _result(False, challenger, champion, why)
            why = "; ".join(["the gate holds", *filter(None, [decision["facts"]["champion"]])])
            transition.promote(str(challenger.version), why)
            return _result(True, challenger, challenger, why)
    except LockHeld as error:
        return _result(False, challenger, champion, str(error))


def _decide(
    model: Promotable,
    challenger: ModelVersion,
    champion: ModelVersion | None,
    measured: Measured,
    about_run: Mapping[str, str],
    replace_unloadable: bool,
) -> dict[str, Any]:
    """The content of promotion.json: the decision with every number.

    Its ``reasons`` are those against the challenger; empty if it is promoted.
    """
    measurements, findings = measured
    reasons = [f.why for f in findings if not f.passed]
    unloadable = ""
    if champion is not None and (why := measurements.champion_unloadable):
        unloadable = f"this code can't load the champion, version {champion.version} ({why})"
    if champion is not None and not measurements.facts.compared:
        if not unloadable:
            reasons.append(f"version {challenger.version} could not be compared with the champion")
        elif not replace_unloadable:
            reasons.append(
                f"{unloadable}, and its recorded predictions are of other {model.evaluated}; it keeps "
                f"serving. `fashion-ops {model.step} --replace-unloadable` replaces it without a "
                "comparison"
            )
        else:
            unloadable += ", so it was replaced without a comparison"
    elif unloadable:
        unloadable += ", so its recorded predictions were compared"
    return {
        "promoted": not reasons,
        "model": challenger.name,
        "version": int(challenger.version),
        "against": int(champion.version) if champion else None,
        "reasons": reasons,
        "pictures": measurements.evaluated,  # keys of decisions that registries in use hold
        "judged_anew": measurements.champion_predicted_again,
        "findings": [f.to_json() for f in findings],
        "gate": dict(model.gate),
        "facts": {
            "shard": measurements.digest,
            "champion": unloadable,
            "predicted again": measurements.reproduced,
            **{key: challenger.tags.get(key, "") for key in model.tags},
            **about_run,
        },
    }


def _record(client: MlflowClient, folder: Path, challenger: ModelVersion, decision: Decision) -> None:
    """Write a decision and its page into ``folder``; keep both with the version."""
    page = folder / "promotion.html"
    write_whole(page, draw_page(decision).encode())
    write_whole(folder / "promotion.json", (json.dumps(decision, indent=1) + "\n").encode())
    registry.record_decision(client, challenger, decision, page)


def _aliases(client: MlflowClient, model: Promotable) -> tuple[ModelVersion, ModelVersion | None]:
    """Challenger and champion of a model; None without a champion.

    Raises:
        ValueError: there is no challenger.
    """
    challenger = registry.with_alias(client, model.name, registry.CHALLENGER)
    if challenger is None:
        raise ValueError(
            f"{model.name}: no challenger in the registry; run `fashion-ops {model.made_by}` first"
        )
    return challenger, registry.with_alias(client, model.name, registry.CHAMPION)


def _result(
    promoted: bool, challenger: ModelVersion, champion: ModelVersion | None, reasons: str
) -> dict[str, Any]:
    """The dict that a promotion returns; ``champion`` is the version that is champion now."""
    return {
        "promoted": promoted,
        "version": int(challenger.version),
        "champion": int(champion.version) if champion else 0,
        "reasons": reasons,
    }
