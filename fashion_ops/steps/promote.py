"""Step ``promote``: the challenger becomes champion if the gate of ``params.yaml`` holds.

``registry.measurements`` takes the numbers, ``registry.gate`` applies the rules, and
``registry.transitions`` moves the aliases. The decision with every number stays with the version, as
JSON and as a page.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from fashion_ops.params import Params
from fashion_ops.registry import client as registry
from fashion_ops.registry import gate
from fashion_ops.registry.measurements import Measurements, measure
from fashion_ops.registry.promotion import promote_challenger, record_decision
from fashion_ops.workspace import Workspace


@registry.failures_in_one_line()
def run(
    params: Params,
    ws: Workspace,
    tags: Mapping[str, str] | None = None,
    again: bool = False,
    replace_unloadable: bool = False,
    on_decision: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Make the challenger champion, or say why not.

    Nothing changes if the challenger is champion already, or if another process moves the aliases.

    Args:
        params: the parameters; ``promote`` is the gate.
        ws: the workspace, with the catalog that the challenger was evaluated on.
        tags: facts about this run, such as its id, that are kept in promotion.json.
        again: allow a version that was rolled back.
        replace_unloadable: allow a promotion without comparison where this code can't load the champion
            and its recorded predictions are of other images. Otherwise it keeps serving.
        on_decision: called with the content of promotion.json, if a decision had to be made.

    Returns:
        ``promoted``: whether the challenger is champion now; ``version``: number of the challenger;
        ``champion``: number of the version in use now, 0 for none; ``reasons``: the reasons in words,
        with numbers.

    Raises:
        ValueError: the registry has no challenger.
        FileNotFoundError: the challenger lacks a model or a record.
        ServiceError: the registry does not answer.
        UnsafeModel: there is a pickle among its models.
    """
    client, name = registry.connect(ws.root, artifacts=True), params.registration.model

    def measured(challenger: ModelVersion, champion: ModelVersion | None) -> Mapping[str, Any]:
        measurements = measure(params, ws, challenger, champion, again)
        return decide(params, challenger, champion, measurements, tags or {}, replace_unloadable)

    def record(challenger: ModelVersion, decision: Mapping[str, Any]) -> None:
        record_decision(client, ws.promotions, challenger, decision)
        if on_decision is not None:
            on_decision(decision)

    return promote_challenger(client, name, measured, record)


def decide(
    params: Params,
    challenger: ModelVersion,
    champion: ModelVersion | None,
    measurements: Measurements,
    tags: Mapping[str, str],
    replace_unloadable: bool = False,
) -> dict[str, Any]:
    """Apply the gate.

    Args:
        params: the parameters; ``promote`` is the gate.
        challenger: the version to promote.
        champion: the version in use; None if there is none yet, and nothing is compared.
        measurements: the numbers of both.
        tags: facts about this run, which are kept with the decision.
        replace_unloadable: see ``run``.

    Returns:
        The content of promotion.json: the decision with every number.
    """
    findings = gate.apply_rules(measurements.facts, params.promote)
    reasons = [f.why for f in findings if not f.passed]
    unloadable, reproduction = "", measurements.facts.reproduction
    if champion is not None and (why := measurements.champion_unloadable):
        unloadable = f"this code can't load the champion, version {champion.version} ({why})"
    if champion is not None and measurements.facts.comparisons is None:
        if not unloadable:
            reasons.append(f"version {challenger.version} could not be compared with the champion")
        elif not replace_unloadable:
            reasons.append(
                f"{unloadable}, and its recorded predictions are of other images; it keeps serving. "
                "`fashion-ops promote --replace-unloadable` replaces it without a comparison"
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
        "pictures": measurements.images,  # keys of decisions that registries in use hold
        "judged_anew": measurements.champion_predicted_again,
        "findings": [f.to_json() for f in findings],
        "gate": params.promote.model_dump(),
        "facts": {
            "shard": measurements.digest,
            "champion": unloadable,
            "predicted again": reproduction.in_words() if reproduction else "",
            **{key: challenger.tags.get(key, "") for key in ("git_commit", "dvc_lock_md5", "snapshot")},
            **tags,
        },
    }
