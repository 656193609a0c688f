"""Step ``promote_alignment``: the challenger of alignment becomes champion if the gate holds.

``registry.alignment_measurements`` takes the numbers, ``registry.alignment_gate`` applies the rules of
``params.yaml``, and ``registry.transitions`` moves the aliases, as for the other model. The decision
with every number stays with the version, as JSON and as a page.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from fashion_ops.params import Params
from fashion_ops.registry import client as registry
from fashion_ops.registry.alignment_gate import apply_rules
from fashion_ops.registry.alignment_measurements import AlignmentMeasurements, measure
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
        params: the parameters; ``promote_alignment`` is the gate.
        ws: the workspace, with the catalog that the challenger was evaluated on.
        tags: facts about this run, such as its id, that are kept in promotion.json.
        again: allow a version that was rolled back.
        replace_unloadable: allow a promotion without comparison where this code can't load the champion
            and its recorded predictions are of other garments. Otherwise it keeps serving.
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
    client, name = registry.connect(ws.root, artifacts=True), params.register_alignment.model

    def measured(challenger: ModelVersion, champion: ModelVersion | None) -> Mapping[str, Any]:
        measurements = measure(params, ws, challenger, champion, again)
        return decide(params, challenger, champion, measurements, tags or {}, replace_unloadable)

    def record(challenger: ModelVersion, decision: Mapping[str, Any]) -> None:
        record_decision(client, ws.alignment_promotions, challenger, decision)
        if on_decision is not None:
            on_decision(decision)

    return promote_challenger(client, name, measured, record, made_by="register_alignment")


def decide(
    params: Params,
    challenger: ModelVersion,
    champion: ModelVersion | None,
    measurements: AlignmentMeasurements,
    tags: Mapping[str, str],
    replace_unloadable: bool = False,
) -> dict[str, Any]:
    """Apply the gate; arguments and result as those of the step ``promote``."""
    facts = measurements.facts
    findings = apply_rules(facts, params.promote_alignment)
    reasons, unloadable = [f.why for f in findings if not f.passed], ""
    if champion is not None and (why := measurements.champion_unloadable):
        unloadable = f"this code can't load the champion, version {champion.version} ({why})"
    if champion is not None and facts.comparison is None:
        if not unloadable:
            reasons.append(f"version {challenger.version} could not be compared with the champion")
        elif not replace_unloadable:
            reasons.append(
                f"{unloadable}, and its recorded predictions are of other garments; it keeps serving. "
                "`fashion-ops promote_alignment --replace-unloadable` replaces it without a comparison"
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
        "pictures": facts.garments,  # keys as those of the other model's decisions
        "judged_anew": measurements.champion_predicted_again,
        "findings": [f.to_json() for f in findings],
        "gate": params.promote_alignment.model_dump(),
        "facts": {
            "shard": measurements.digest,
            "champion": unloadable,
            **{
                key: challenger.tags.get(key, "")
                for key in ("method", "source", "git_commit", "dvc_lock_md5", "snapshot")
            },
            **tags,
        },
    }
