"""The rules between challenger and champion of the alignment model; ``gate`` has those of the other.

They read nothing; ``alignment_measurements`` takes the numbers. NE is the normalised error of the
visible landmarks in labelled boxes; lower is better. A missing number fails its rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fashion_ops.evaluation.bootstrap import Difference
from fashion_ops.params import PromoteAlignment
from fashion_ops.registry.findings import Finding, latency_ratio, objections, size

_ROUNDING = 1e-9


@dataclass(frozen=True)
class AlignmentFacts:
    """The numbers that the gate needs of the challenger, and of the champion if there is one.

    Attributes:
        ne: of the challenger, as it was evaluated.
        mean_shape: NE of the mean shape of each clothes type.
        comparison: of the challenger with the champion; None without one, or where they can't be.
        pixels: within which 99 % of the landmarks are predicted again; None where it was not measured.
        latency_ms: median of one photo, challenger and champion.
        latency_ratio: challenger's time of a photo over the champion's.
        size_mb: of the models, challenger and champion.
        garments: number of garments that were evaluated.
        objections: other reasons against the challenger.
    """

    ne: float
    mean_shape: float
    comparison: Difference | None
    pixels: float | None
    latency_ms: tuple[float | None, float | None]
    latency_ratio: float | None
    size_mb: tuple[float, float | None]
    garments: int
    objections: tuple[str, ...] = ()

    @property
    def compared(self) -> bool:
        """Whether challenger and champion were compared."""
        return self.comparison is not None


def apply_rules(facts: AlignmentFacts, gate: PromoteAlignment) -> list[Finding]:
    """Check the measured numbers against all rules; one finding for each, in the order of the page."""
    return [
        _ceiling(facts, gate),
        _gain(facts, gate),
        *(_champion(facts.comparison, gate) if facts.comparison else ()),
        _again(facts.pixels, gate),
        *_latency(facts, gate),
        size(facts.size_mb, gate.max_size_mb, "promote_alignment.max_size_mb"),
        *objections(facts.objections),
    ]


def _ceiling(facts: AlignmentFacts, gate: PromoteAlignment) -> Finding:
    """Check that NE is at most ``max_ne``."""
    rule, limit = "promote_alignment.max_ne", gate.max_ne
    why = "" if facts.ne <= limit else f"NE {facts.ne:.4f} is above {rule} {limit:g}"
    return Finding("NE", rule, not why, why, new=facts.ne, limit=limit, garments=facts.garments)


def _gain(facts: AlignmentFacts, gate: PromoteAlignment) -> Finding:
    """Check that NE is below that of the mean shape of each type by ``min_gain``."""
    rule, limit = "promote_alignment.min_gain", facts.mean_shape - gate.min_gain
    why = ""
    if not facts.ne < limit + _ROUNDING:
        why = (
            f"NE {facts.ne:.4f} is not below {limit:.4f}, that of the mean shape of each clothes type "
            f"less {rule} {gate.min_gain:g}"
        )
    return Finding("NE, beside the mean shape", rule, not why, why, new=facts.ne, limit=limit)


def _champion(d: Difference, gate: PromoteAlignment) -> Iterator[Finding]:
    """Check the rise of NE over the champion's, and the upper end of its confidence interval."""
    numbers = (d.new, d.old, d.low, d.high)
    rule, why = "promote_alignment.max_rise", ""
    if not d.difference <= gate.max_rise + _ROUNDING:
        why = (
            f"NE {d.new:.4f} is {d.difference:.4f} above the champion's {d.old:.4f}, {rule} is "
            f"{gate.max_rise:g}"
        )
    yield Finding("NE, beside the champion", rule, not why, why, *numbers, gate.max_rise)
    rule, why = "promote_alignment.max_likely_rise", ""
    if not d.high <= gate.max_likely_rise + _ROUNDING:
        why = (
            f"NE may be {d.high:.4f} higher ({100 * gate.confidence:g} % interval {d.low:+.4f} to "
            f"{d.high:+.4f} on these garments), {rule} is {gate.max_likely_rise:g}"
        )
    yield Finding("NE, interval", rule, not why, why, *numbers, gate.max_likely_rise)


def _again(pixels: float | None, gate: PromoteAlignment) -> Finding:
    """Check that the challenger, loaded from the registry, predicts what was evaluated."""
    what, rule = "predicted again: 99 % of the landmarks, px", "promote_alignment.max_pixel_difference"
    limit, why = gate.max_pixel_difference, ""
    if pixels is None:
        why = "the catalog holds other garments than those evaluated, so nothing was predicted again"
    elif not pixels <= limit:
        why = (
            f"loaded from the registry it predicts otherwise than evaluated: {pixels:.3g} px within "
            f"which 99 % of the landmarks lie, {rule} is {limit:g}"
        )
    return Finding(what, rule, not why, why, new=pixels, limit=limit)


def _latency(facts: AlignmentFacts, gate: PromoteAlignment) -> Iterator[Finding]:
    """Check the challenger's time of a photo against the champion's; the time itself always passes."""
    new, old = facts.latency_ms
    yield Finding("time of a photo, ms", "for information", True, "", new=new, old=old)
    rule, limit = "promote_alignment.max_latency_ratio", gate.max_latency_ratio
    yield from latency_ratio(facts.latency_ms, facts.latency_ratio, facts.compared, limit, rule)
