"""The gate between challenger and champion: rules that compare measured numbers with limits.

The rules read nothing; ``measurements`` takes the numbers, and ``findings`` has the rules that the
alignment model has too. AP is the landmark AP of the refined landmarks, from 0 to 1. A missing number
fails its rule. The spread of an AP shrinks with the square root of the number of garments it was
measured on, so the AP of a category with fewer than ``category_garments`` garments may fall by
``sqrt(category_garments / garments)`` times the tolerance of the others.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fashion_ops.evaluation.bootstrap import Comparison, Difference
from fashion_ops.inference.reproduction import AP, EQUAL_BITS, PIXELS, Reproduction
from fashion_ops.params import Promote
from fashion_ops.registry.findings import Finding, latency_ratio, objections, size
from fashion_ops.taxonomy import category


@dataclass(frozen=True)
class Facts:
    """The numbers that the gate needs of the challenger, and of the champion if there is one."""

    metrics: Mapping[str, Any]  # of the challenger, as ``evaluate`` wrote them
    comparisons: Mapping[str, Comparison] | None  # on the challenger's frozen set, by kind of boxes
    garments: Mapping[int, int]  # in the frozen set, by category id
    latency_ms: tuple[float | None, float | None]  # median of one photo, challenger and champion
    size_mb: tuple[float, float | None]  # of the models, challenger and champion
    checks: Mapping[str, str]  # blocking checks by name: why they failed, empty if they passed
    objections: tuple[str, ...] = ()  # other reasons against the challenger
    latency_ratio: float | None = None  # challenger's time of a photo over the champion's
    reproduction: Reproduction | None = None  # of the evaluated predictions, if the catalog has them

    @property
    def compared(self) -> bool:
        """Whether challenger and champion were compared."""
        return self.comparisons is not None


def apply_rules(facts: Facts, gate: Promote) -> list[Finding]:
    """Check the measured numbers against all rules of the gate.

    Returns:
        One finding for each rule and quantity, in the order of the promotion page. The rules that
        compare with a champion give none if ``facts.comparisons`` is None.
    """
    return [
        *_floors(facts.metrics, gate),
        *(_overall(facts.comparisons, gate) if facts.comparisons else ()),
        *(_categories(facts.comparisons, facts.garments, gate) if facts.comparisons else ()),
        *_latency(facts, gate),
        size(facts.size_mb, gate.max_size_mb, "promote.max_size_mb"),
        *_checks(facts.checks),
        *(_reproduction(facts.reproduction, gate) if facts.reproduction else ()),
        *objections(facts.objections),
    ]


def tolerance(gate: Promote, garments: int) -> float:
    """How far the AP of a category (a fraction) may fall if it was measured on so many garments."""
    return gate.max_category_drop * max(1.0, math.sqrt(gate.category_garments / max(garments, 1)))


def _floors(metrics: Mapping[str, Any], gate: Promote) -> Iterator[Finding]:
    """Check that landmark AP and box AP of the challenger reach ``min_ap`` and ``min_box_ap``.

    Args:
        metrics: see ``Facts.metrics``.
        gate: the limits.
    """
    values = (
        ("landmark AP", metrics.get("landmark_ap", {}).get("refined"), gate.min_ap, "min_ap"),
        ("box AP", metrics.get("box_ap"), gate.min_box_ap, "min_box_ap"),
    )
    for what, value, floor, key in values:
        yield _at_least(what, value, floor, f"promote.{key}")


def _at_least(what: str, value: float | None, floor: float, rule: str) -> Finding:
    """Check that a number is measured and at least ``floor``, the value of ``rule`` in params.yaml."""
    if value is None or not value >= 0:  # -1 and NaN: there was nothing to evaluate
        return Finding(what, rule, False, f"{what} was not measured, {rule} is {floor:g}", limit=floor)
    why = "" if value >= floor else f"{what} {value:.4f} is below {rule} {floor:g}"
    return Finding(what, rule, not why, why, new=value, limit=floor)


_BOXES = {"truth_boxes": "landmark AP", "own_boxes": "landmark AP with predicted boxes"}


def _overall(comparisons: Mapping[str, Comparison], gate: Promote) -> Iterator[Finding]:
    """Check the fall of landmark AP, and the lower end of its confidence interval, on both boxes."""
    for kind, what in _BOXES.items():
        d = comparisons[kind].overall
        yield _no_lower(what, d, gate.max_drop, "promote.max_drop")
        limit, rule = gate.max_likely_drop, "promote.max_likely_drop"
        why = ""
        if not d.low >= -limit - _ROUNDING:
            why = (
                f"{what} may be {-d.low:.4f} lower ({100 * gate.confidence:g} % interval "
                f"{d.low:+.4f} to {d.high:+.4f} on these images), {rule} is {limit:g}"
            )
        yield Finding(f"{what}, interval", rule, not why, why, *_numbers(d), limit)


def _categories(
    comparisons: Mapping[str, Comparison], garments: Mapping[int, int], gate: Promote
) -> Iterator[Finding]:
    """Check that no category's AP on ground-truth boxes falls by more than its ``tolerance``."""
    for category_id, d in comparisons["truth_boxes"].per_category.items():
        if math.isnan(d.old):  # the frozen set has no such garment
            continue
        count = garments.get(category_id, 0)
        limit, name = tolerance(gate, count), category(category_id).name
        yield _no_lower(f"{name}: landmark AP", d, limit, "promote.max_category_drop", count)


def _no_lower(
    what: str, d: Difference, limit: float, rule: str, garments: int | None = None
) -> Finding:
    """Check that the AP of the challenger is at most ``limit`` below that of the champion.

    Args:
        what: the quantity, for the message.
        d: its two values.
        limit: how far it may fall.
        rule: key of the limit in params.yaml.
        garments: number of garments that it was measured on, for the message; None to leave it out.
    """
    why = ""
    if not d.difference >= -limit - _ROUNDING:
        on = "" if garments is None else f" on {garments} garments"
        why = (
            f"{what} {d.new:.4f} is {-d.difference:.4f} below the champion's {d.old:.4f}, {rule} is "
            f"{limit:.4g}{on}"
        )
    return Finding(what, rule, not why, why, *_numbers(d), limit, garments)


def _numbers(d: Difference) -> tuple[float, float, float, float]:
    """The fields ``new``, ``old``, ``low`` and ``high`` of a ``Finding``."""
    return d.new, d.old, d.low, d.high


def _latency(facts: Facts, gate: Promote) -> Iterator[Finding]:
    """Check the challenger's time of a photo against an absolute budget, and against the champion's.

    Only the second depends on the models alone. Without a budget (``max_latency_ms`` null) the time
    itself passes, whatever it is.
    """
    new, old = facts.latency_ms
    what, rule, budget = "time of a photo, ms", "promote.max_latency_ms", gate.max_latency_ms
    why = ""
    if budget is not None and new is None:
        why = f"{what}: was not measured, {rule} is {budget:g}"
    elif budget is not None and new is not None and new > budget:
        why = f"{what}: {new:.0f} is above {rule} {budget:g}"
    yield Finding(what, rule, not why, why, new=new, old=old, limit=budget)
    rule, limit = "promote.max_latency_ratio", gate.max_latency_ratio
    yield from latency_ratio(facts.latency_ms, facts.latency_ratio, facts.compared, limit, rule)


def _reproduction(made: Reproduction, gate: Promote) -> Iterator[Finding]:
    """Check that the challenger, loaded from the registry, predicts what was evaluated.

    On the hardware of the evaluation every bit must be the same, elsewhere the tolerances hold. The
    largest differences are given in both cases.
    """
    d, failures = made.deviation, made.failures(gate)
    shown = (
        ("99 % of the landmarks, px", PIXELS, d.pixels),
        ("largest landmark difference, px", "", d.largest),
        ("largest score difference", "", d.score),
        ("AP difference", AP, d.ap),
    )
    if made.exact:
        why = _otherwise(failures.get(EQUAL_BITS))
        yield Finding("predicted again", EQUAL_BITS, not why, why)
    for what, rule, value in shown:
        limited = bool(rule) and not made.exact
        why = _otherwise(failures.get(rule)) if limited else ""
        limit = made.limit(gate, rule) if limited else None
        name = rule if limited else "for information"
        yield Finding(f"predicted again: {what}", name, not why, why, new=value, limit=limit)


def _otherwise(failure: str | None) -> str:
    """The reason for a refusal; empty without a failure."""
    if not failure:
        return ""
    return f"loaded from the registry it predicts otherwise than evaluated: {failure}"


def _checks(checks: Mapping[str, str]) -> Iterator[Finding]:
    """One finding for each blocking check; a single failed one if no check was recorded.

    Args:
        checks: see ``Facts.checks``.
    """
    if not checks:
        yield Finding("checks", "blocking checks", False, "no checks were recorded with this version")
    for name, failure in checks.items():
        why = f"check {name} failed: {failure}" if failure else ""
        yield Finding(name, "blocking check", not why, why)


_ROUNDING = 1e-9
