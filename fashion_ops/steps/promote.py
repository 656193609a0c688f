"""Step ``promote``: the challenger becomes champion if the gate of ``params.yaml`` holds.

``measure`` finds the numbers, ``promotion.gate`` judges them, ``promotion.moves`` moves the aliases,
one mover at a time. The decision with every number stays with the version, as JSON and as a page.
"""

import json
from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from fashion_ops.params import Params
from fashion_ops.registry import client as registry
from fashion_ops.registry import gate, transitions
from fashion_ops.registry.measurements import Measured, measure
from fashion_ops.reports.promotion import draw_page
from fashion_ops.workspace import Workspace


def run(
    params: Params, ws: Workspace, tags: Mapping[str, str] | None = None, again: bool = False
) -> dict[str, Any]:
    """Make the challenger champion, or say why not.

    Args:
        params: the parameters; ``promote`` is the gate.
        ws: the workspace, with the catalog that the challenger was judged on.
        tags: kept with the decision.
        again: whether a version that was rolled back may come back.

    Returns:
        promoted; version: of the challenger; champion: the version in use now, 0 for none; reasons:
        why not, each with its numbers.

    Raises:
        ValueError: nothing is registered.
        FileNotFoundError: the challenger lacks a model or a record.
        UnsafeModel: there is a pickle among its models.
    """
    client, name = registry.connect(ws.root), params.registration.model
    challenger, champion = _aliases(client, name)
    events = transitions.history(client, name)
    same = champion is not None and champion.version == challenger.version
    if same and (not events or events[-1].done):  # else whoever made it so has left something undone
        return _answer(True, challenger, challenger, "champion already")
    try:
        with transitions.turn(client, name, f"promotion of version {challenger.version}") as turn:
            challenger, champion = _aliases(client, name)  # they may have moved while we waited
            if champion is not None and champion.version == challenger.version:
                return _answer(True, challenger, challenger, "champion already")
            measured = measure(params, ws, challenger, champion, again)
            decision = decide(params, challenger, champion, measured, tags or {})
            _keep(client, ws, challenger, decision)
            why = "; ".join(decision["reasons"])
            if why:
                turn.refuse(str(challenger.version), why)
                return _answer(False, challenger, champion, why)
            turn.promote(str(challenger.version), "the gate holds")
            return _answer(True, challenger, challenger, "the gate holds")
    except transitions.Busy as busy:
        return _answer(False, challenger, champion, str(busy))


def decide(
    params: Params,
    challenger: ModelVersion,
    champion: ModelVersion | None,
    measured: Measured,
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """The decision with every number, as it is kept."""
    findings = gate.judge(measured.facts, params.promote)
    reasons = [f.why for f in findings if not f.passed]
    if champion is not None and measured.facts.comparisons is None:
        reasons.append(f"version {challenger.version} could not be compared with the champion")
    return {
        "promoted": not reasons,
        "model": challenger.name,
        "version": int(challenger.version),
        "against": int(champion.version) if champion else None,
        "reasons": reasons,
        "images": measured.images,
        "judged_anew": measured.judged_anew,
        "findings": [f.to_json() for f in findings],
        "gate": params.promote.model_dump(),
        "facts": {
            "shard": measured.digest,
            **{key: challenger.tags.get(key, "") for key in ("git_commit", "dvc_lock_md5", "snapshot")},
            **tags,
        },
    }


def _aliases(client: MlflowClient, name: str) -> tuple[ModelVersion, ModelVersion | None]:
    challenger = registry.with_alias(client, name, registry.CHALLENGER)
    if challenger is None:
        raise ValueError(f"{name}: no challenger in the registry; run `fashion-ops register` first")
    return challenger, registry.with_alias(client, name, registry.CHAMPION)


def _keep(
    client: MlflowClient, ws: Workspace, challenger: ModelVersion, decision: Mapping[str, Any]
) -> None:
    """The decision here, as the newest page, and with the version."""
    ws.promotions.mkdir(parents=True, exist_ok=True)
    page = ws.promotions / "promotion.html"
    page.write_text(draw_page(decision), encoding="utf-8")
    text = json.dumps(decision, indent=1) + "\n"
    (ws.promotions / "promotion.json").write_text(text, encoding="utf-8")
    registry.note_decision(client, challenger, decision, page)


def _answer(
    promoted: bool, version: ModelVersion, champion: ModelVersion | None, reasons: str
) -> dict[str, Any]:
    return {
        "promoted": promoted,
        "version": int(version.version),
        "champion": int(champion.version) if champion else 0,
        "reasons": reasons,
    }
