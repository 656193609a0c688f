"""The HTML page of a promotion decision: champion beside challenger, and every rule with its numbers.

It is drawn from the decision alone (``promotion.json``), so that an old one can be drawn again.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from markupsafe import Markup, escape

from fashion_ops.reports.report import templates
from fashion_ops.taxonomy import category

_CATEGORY_RULE = "promote.max_category_drop"
_LABEL, _WIDTH, _ROW = 170, 860, 30


def draw_page(decision: Mapping[str, Any]) -> str:
    """The HTML page of a decision that step ``promote`` made."""
    findings = [_with_texts(f) for f in decision["findings"]]
    categories = [f for f in findings if f["rule"] == _CATEGORY_RULE]
    rules = [f for f in findings if f["rule"] != _CATEGORY_RULE]
    page = templates().get_template("promotion.html")
    return page.render(
        title=f"{decision['model']}, version {decision['version']}",
        decision=decision,
        cards=_cards(rules, decision),
        categories=categories,
        chart=_chart(categories),
        rules=rules,
        facts={name: value for name, value in decision["facts"].items() if value},
        gate=yaml.safe_dump(decision["gate"], sort_keys=False),
    )


def _with_texts(finding: Mapping[str, Any]) -> dict[str, Any]:
    """A finding with its numbers as text."""
    unit = "{:,.0f}" if "ms" in finding["rule"] or "mb" in finding["rule"] else "{:.3f}"
    if finding["what"].startswith("predicted again"):  # rounding, in general
        unit = "{:.2g}"
    texts = {
        f"{key}_text": "" if finding[key] is None else unit.format(finding[key])
        for key in ("new", "old", "limit")
    }
    numbers = {k: math.nan if finding[k] is None else finding[k] for k in ("new", "old", "low", "high")}
    name = finding["what"].partition(":")[0]
    label = category(name).label if finding["rule"] == _CATEGORY_RULE else name
    return {**finding, **numbers, **texts, "label": label, "mark": "✓" if finding["passed"] else "✗"}


def _cards(
    rules: Sequence[Mapping[str, Any]], decision: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    """The cards at the top: quantity, number, remark."""
    cards = []
    for f in rules:
        if f["rule"] == "promote.max_drop":
            gain = f"{f['new'] - f['old']:+.3f}".replace("-", "−")
            cards.append((f["what"], f["new_text"], f"champion {f['old_text']}, {gain}"))
        elif f["rule"] == "promote.min_ap" and not decision["against"]:
            cards.append((f["what"], f["new_text"], f"at least {f['limit_text']}"))
        elif f["rule"] in ("promote.max_latency_ms", "promote.max_size_mb"):
            remarks = [f"at most {f['limit_text']}"] if f["limit_text"] else []
            remarks += [f"champion {f['old_text']}"] if f["old_text"] else []
            cards.append((f["what"], f["new_text"], ", ".join(remarks)))
    return cards


def _chart(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """An SVG of difference, interval and tolerance of each category on one axis around 0."""
    from matplotlib.ticker import MaxNLocator

    values = [abs(v) for f in rows for v in (f["low"], f["high"], f["new"] - f["old"], f["limit"])]
    reach = 1.05 * (max([v for v in values if not math.isnan(v)], default=0.0) or 0.1)

    def x(value: float) -> float:
        return _LABEL + (value / reach + 1) / 2 * (_WIDTH - _LABEL - 16)

    bottom = 8 + _ROW * len(rows)
    ticks = MaxNLocator(12, steps=[1, 2, 5, 10]).tick_values(-reach, reach)
    parts = []
    for tick in (round(float(t), 12) for t in ticks if abs(t) <= reach):
        at, kind = x(tick), "grid" if tick else "grid zero"
        label = f"{tick:+.3g}".replace("-", "−") if tick else "0"
        parts.append(f'<line class="{kind}" x1="{at:.1f}" x2="{at:.1f}" y1="4" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{at:.1f}" y="{bottom + 16}">{label}</text>')
    for number, f in enumerate(rows):
        y, gap = 8 + _ROW * (number + 0.5), f["new"] - f["old"]
        parts.append(
            f'<text class="label" x="{_LABEL - 14}" y="{y + 4:.1f}">{escape(f["label"])}</text>'
        )
        limit = x(-f["limit"])
        parts.append(
            f'<line class="limit" x1="{limit:.1f}" x2="{limit:.1f}" y1="{y - 9:.1f}" y2="{y + 9:.1f}"/>'
        )
        if not math.isnan(f["low"]):
            ends = f'x1="{x(f["low"]):.1f}" x2="{x(f["high"]):.1f}"'
            parts.append(f'<line class="likely" {ends} y1="{y:.1f}" y2="{y:.1f}"/>')
        bad = "" if f["passed"] else " bad"
        parts.append(
            f'<circle class="point{bad}" cx="{x(gap):.1f}" cy="{y:.1f}" r="6"><title>'
            f"{escape(f['label'])}: {gap:+.3f}</title></circle>"
        )
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {bottom + 24}" role="img" '
        f'aria-label="AP of each category, challenger minus champion">{"".join(parts)}</svg>'
    )
