"""How a challenger becomes champion: what all promotions have in common, whatever they measure."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from fashion_ops.registry import client as registry
from fashion_ops.registry import transitions
from fashion_ops.registry.dead_runs import close_dead_runs
from fashion_ops.registry.lock import LockHeld
from fashion_ops.reports.promotion import draw_page
from fashion_ops.workspace import write_whole

Decision = Mapping[str, Any]  # the content of promotion.json
Decide = Callable[[ModelVersion, ModelVersion | None], Decision]


def promote_challenger(
    client: MlflowClient,
    name: str,
    decide: Decide,
    record: Callable[[ModelVersion, Decision], None],
    made_by: str = "register",
) -> dict[str, Any]:
    """Make the challenger champion if the decision says so.

    Nothing changes if the challenger is champion already, or if another process moves the aliases.

    Args:
        client: from ``client.connect``.
        name: of the registered model.
        decide: measures challenger and champion, None if there is none yet, and applies the gate. Its
            result has ``reasons`` against the challenger and ``facts`` with the key ``champion``.
        record: keeps the decision about the challenger.
        made_by: the step that registers a challenger, for the message that there is none.

    Returns:
        ``promoted``: whether the challenger is champion now; ``version``: number of the challenger;
        ``champion``: number of the version in use now, 0 for none; ``reasons``: the reasons in words,
        with numbers.

    Raises:
        ValueError: the registry has no challenger.
    """
    close_dead_runs(client)
    challenger, champion = _aliases(client, name, made_by)
    events = transitions.history(client, name)
    same = champion is not None and champion.version == challenger.version
    if same and (not events or events[-1].done):  # an incomplete event is repaired below
        return _result(True, challenger, challenger, "champion already")
    try:
        purpose = f"promotion of version {challenger.version}"
        with transitions.begin_transition(client, name, purpose) as transition:
            challenger, champion = _aliases(client, name, made_by)  # they may have moved meanwhile
            if champion is not None and champion.version == challenger.version:
                return _result(True, challenger, challenger, "champion already")
            for version in filter(None, (challenger, champion)):
                registry.keep_run(client, version)
            decision = decide(challenger, champion)
            record(challenger, decision)
            why = "; ".join(decision["reasons"])
            if why:
                transition.refuse(str(challenger.version), why)
                return _result(False, challenger, champion, why)
            why = "; ".join(["the gate holds", *filter(None, [decision["facts"]["champion"]])])
            transition.promote(str(challenger.version), why)
            return _result(True, challenger, challenger, why)
    except LockHeld as error:
        return _result(False, challenger, champion, str(error))


def record_decision(
    client: MlflowClient, folder: Path, challenger: ModelVersion, decision: Decision
) -> None:
    """Write a decision and its page into ``folder``; keep both with the version."""
    page = folder / "promotion.html"
    write_whole(page, draw_page(decision).encode())
    write_whole(folder / "promotion.json", (json.dumps(decision, indent=1) + "\n").encode())
    registry.record_decision(client, challenger, decision, page)


def _aliases(client: MlflowClient, name: str, made_by: str) -> tuple[ModelVersion, ModelVersion | None]:
    """Challenger and champion of a model; None without a champion.

    Raises:
        ValueError: there is no challenger.
    """
    challenger = registry.with_alias(client, name, registry.CHALLENGER)
    if challenger is None:
        raise ValueError(f"{name}: no challenger in the registry; run `fashion-ops {made_by}` first")
    return challenger, registry.with_alias(client, name, registry.CHAMPION)


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
