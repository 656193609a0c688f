"""Step ``promote``: the gate between challenger and champion.

Floors hold for every model; against a champion, the overall AP and the AP of each category may fall
only so far. AP is OKS-AP of the refined landmarks with ground-truth boxes. The decision, with every
reason, stays with the version.
"""

from collections.abc import Mapping
from typing import Any

from fashion_ops import registry
from fashion_ops.params import Params, Promote
from fashion_ops.workspace import Workspace


def run(params: Params, ws: Workspace, tags: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Make the challenger champion, or say why not.

    Args:
        params: the parameters; ``promote`` is the gate.
        ws: the workspace.
        tags: kept with the decision.

    Returns:
        promoted; version: of the challenger; champion: the version in use now, 0 for none; reasons:
        why not, each with its numbers.

    Raises:
        ValueError: nothing is registered.
    """
    client, name = registry.connect(ws.root), params.registration.model
    challenger = registry.with_alias(client, name, registry.CHALLENGER)
    champion = registry.with_alias(client, name, registry.CHAMPION)
    if challenger is None:
        raise ValueError(f"{name}: no challenger in the registry; run `fashion-ops register` first")
    if champion is not None and champion.version == challenger.version:
        version = int(challenger.version)
        return {
            "promoted": True,
            "version": version,
            "champion": version,
            "reasons": "champion already",
        }
    reasons = objections(
        registry.metrics_of(challenger),
        registry.metrics_of(champion) if champion else None,
        params.promote,
    )
    decision = {
        "promoted": not reasons,
        "version": int(challenger.version),
        "against": int(champion.version) if champion else None,
        "gate": params.promote.model_dump(),
        "reasons": reasons,
        **(tags or {}),
    }
    registry.note_decision(client, challenger, decision)
    if not reasons:
        registry.crown(client, challenger)
        champion = challenger
    return {
        "promoted": not reasons,
        "version": int(challenger.version),
        "champion": int(champion.version) if champion else 0,
        "reasons": "; ".join(reasons) or "the gate holds",
    }


def objections(
    challenger: Mapping[str, Any], champion: Mapping[str, Any] | None, gate: Promote
) -> list[str]:
    """Every reason against the challenger; none means that it may pass. A missing number is one."""
    found = [
        *_below("landmark AP", _ap(challenger), gate.min_ap, "promote.min_ap"),
        *_below("box AP", challenger.get("box_ap"), gate.min_box_ap, "promote.min_box_ap"),
    ]
    if champion is None:
        return found
    found += _fell("landmark AP", _ap(challenger), _ap(champion), gate.max_drop, "promote.max_drop")
    for name, row in champion["per_category"].items():
        new = challenger["per_category"].get(name, {})
        found += _fell(
            f"{name}: landmark AP",
            _ap(new),
            _ap(row),
            gate.max_category_drop,
            "promote.max_category_drop",
        )
    return found


def _ap(metrics: Mapping[str, Any]) -> float | None:
    return metrics.get("landmark_ap", {}).get("refined")


def _valid(value: float | None) -> bool:
    """A judged AP; missing, NaN and pycocotools' -1 mean that there was nothing to judge."""
    return value is not None and value >= 0


def _below(what: str, value: float | None, floor: float, key: str) -> list[str]:
    if value is None or not _valid(value):
        return [f"{what} was not measured, {key} is {floor:g}"]
    return [f"{what} {value:.4f} is below {key} {floor:g}"] if value < floor else []


def _fell(what: str, new: float | None, old: float | None, limit: float, key: str) -> list[str]:
    if old is None or not _valid(old):
        return []
    if new is None or not _valid(new):
        return [f"{what} was not measured, the champion has {old:.4f}"]
    drop = old - new
    if drop <= limit + 1e-9:
        return []
    return [f"{what} {new:.4f} is {drop:.4f} below the champion's {old:.4f}, {key} is {limit:g}"]
