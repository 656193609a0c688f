"""Every rule of the gate: what just passes, what just does not, and what it says then."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from fashion_ops.evaluation.bootstrap import Comparison, Difference
from fashion_ops.inference.deviation import Deviation
from fashion_ops.inference.reproduction import Reproduction
from fashion_ops.methods.parts.hardware import Hardware
from fashion_ops.params import Promote
from fashion_ops.registry.gate import Facts, Finding, apply_rules, tolerance
from fashion_ops.reports.decision_table import print_decision
from fashion_ops.reports.promotion import draw_page
from fashion_ops.taxonomy import CATEGORIES

GATE = Promote()
COUNTS = {c.id: 100 for c in CATEGORIES} | {9: 25, 2: 0}  # skirt, long sleeve top


def same(ap: float = 0.6) -> Difference:
    return Difference(ap, ap, 0.0, 0.0)


def comparison(overall: Difference | None = None, **categories: Difference) -> Comparison:
    known = {c.id: categories.get(c.name, same()) for c in CATEGORIES}
    known[2] = Difference(*[math.nan] * 4)  # none of it on the shard
    return Comparison(overall or same(), known)


def facts(**changes: object) -> Facts:
    valid = Facts(
        metrics={"landmark_ap": {"refined": 0.6}, "box_ap": 0.5},
        comparisons={"truth_boxes": comparison(), "own_boxes": comparison()},
        garments=COUNTS,
        latency_ms=(100.0, 90.0),
        latency_ratio=1.1,
        size_mb=(160.0, 150.0),
        checks={"catalog_adds_up": ""},
    )
    return replace(valid, **changes)


def pair(truth: Comparison | None = None, own: Comparison | None = None) -> dict[str, Comparison]:
    return {"truth_boxes": truth or comparison(), "own_boxes": own or comparison()}


CPU = Hardware("cpu", "Xeon", "AVX512", 1, "float32, highest", "2.14.1")
GPU = Hardware("cuda", "H200", "9.0", 0, "bfloat16, high", "2.14.1")


def made_again(*evaluated: Hardware, **changes: object) -> Reproduction:
    """Predictions made again on a CPU, evaluated on some hardware."""
    deviation = Deviation("another landmarks", 0.2, 12.0, 0.01, 0.003)
    return Reproduction(replace(deviation, **changes), frozenset(evaluated), frozenset([CPU]))


CASES = {
    "equal": ({}, []),
    "no champion": ({"comparisons": None}, []),
    "low": (
        {"metrics": {"landmark_ap": {"refined": 0.2999}, "box_ap": 0.3}},
        ["landmark AP 0.2999 is below promote.min_ap 0.3"],
    ),
    "boxes": (
        {"metrics": {"landmark_ap": {"refined": 0.3}, "box_ap": 0.1}},
        ["box AP 0.1000 is below promote.min_box_ap 0.3"],
    ),
    "unmeasured": (
        {"metrics": {"landmark_ap": {"refined": math.nan}}},
        [
            "landmark AP was not measured, promote.min_ap is 0.3",
            "box AP was not measured, promote.min_box_ap is 0.3",
        ],
    ),
    "a hair lower": (
        {"comparisons": pair(comparison(Difference(0.5999, 0.6, -0.01, 0.01)))},
        ["landmark AP 0.5999 is 0.0001 below the champion's 0.6000, promote.max_drop is 0"],
    ),
    "lower with its own boxes": (
        {"comparisons": pair(own=comparison(Difference(0.5, 0.6, -0.02, 0.0)))},
        ["landmark AP with predicted boxes 0.5000 is 0.1000 below the champion's 0.6000"],
    ),
    "higher, by luck perhaps": (
        {"comparisons": pair(comparison(Difference(0.61, 0.6, -0.021, 0.04)))},
        ["landmark AP may be 0.0210 lower (95 % interval -0.0210 to +0.0400 on these images)"],
    ),
    "higher, surely enough": (
        {"comparisons": pair(comparison(Difference(0.61, 0.6, -0.02, 0.04)))},
        [],
    ),
    "a category at its tolerance": (
        {"comparisons": pair(comparison(vest=Difference(0.55, 0.6, -0.1, 0.0)))},
        [],
    ),
    "a category beyond it": (
        {"comparisons": pair(comparison(vest=Difference(0.549, 0.6, -0.1, 0.0)))},
        ["vest: landmark AP 0.5490 is 0.0510 below the champion's 0.6000, promote.max_category_drop"],
    ),
    "a small category may fall further": (  # 25 garments, a quarter of 100: twice as far
        {"comparisons": pair(comparison(skirt=Difference(0.5, 0.6, -0.2, 0.0)))},
        [],
    ),
    "but not any distance": (
        {"comparisons": pair(comparison(skirt=Difference(0.499, 0.6, -0.2, 0.0)))},
        ["skirt: landmark AP 0.4990 is 0.1010 below the champion's 0.6000"],
    ),
    "first, on a busy machine": (
        {"comparisons": None, "latency_ms": (7571.0, None), "latency_ratio": None},
        [],
    ),
    "compared with a champion that can't be loaded": (
        {"latency_ms": (100.0, None), "latency_ratio": None},
        [],
    ),
    "both slow, as the machine is busy": ({"latency_ms": (7571.0, 7400.0)}, []),
    "a third slower": ({"latency_ms": (120.0, 90.0), "latency_ratio": 1.33}, []),
    "slower than the champion": (
        {"latency_ms": (141.0, 90.0), "latency_ratio": 1.5666},
        [
            "time of a photo, ratio: a photo takes 1.57 times as long as with the champion (141 ms, "
            "90 ms), promote.max_latency_ratio is 1.5"
        ],
    ),
    "not timed": (
        {"latency_ms": (None, None), "latency_ratio": None},
        ["time of a photo, ratio: was not measured"],
    ),
    "large": (
        {"size_mb": (1001.0, 1.0)},
        ["size of the models, MB: 1001 is above promote.max_size_mb"],
    ),
    "a failed check": (
        {"checks": {"a": "", "b": "share 0.5"}},
        ["check b failed: share 0.5"],
    ),
    "no checks": ({"checks": {}}, ["no checks were recorded with this version"]),
    "rounding of other hardware": ({"reproduction": made_again(GPU)}, []),
    "rounding of hardware that nobody recorded": ({"reproduction": made_again()}, []),
    "other bits on the same hardware": (
        {"reproduction": made_again(CPU)},
        [
            "loaded from the registry it predicts otherwise than evaluated: another landmarks, on the "
            "hardware of the evaluation; 99 % of the landmarks within 0.2 px, the largest difference "
            "12 px, score 0.01, AP 0.003"
        ],
    ),
    "the same bits on the same hardware": ({"reproduction": made_again(CPU, bits="")}, []),
    "other models on other hardware": (
        {"reproduction": made_again(GPU, pixels=3.0, ap=0.5)},
        [
            "loaded from the registry it predicts otherwise than evaluated: 3 px within which 99 % of "
            "the landmarks lie, promote.max_pixel_difference is 1, on Xeon",
            "loaded from the registry it predicts otherwise than evaluated: AP that differs by 0.5, ",
        ],
    ),
    "rolled back": ({"objections": ("version 3 was rolled back",)}, ["version 3 was rolled back"]),
}


@pytest.mark.parametrize("case", CASES)
def test_each_rule(case: str) -> None:
    changes, expected = CASES[case]
    findings = apply_rules(facts(**changes), GATE)
    reasons = [f.why for f in findings if not f.passed]
    assert len(reasons) == len(expected), reasons
    assert all(reason.startswith(start) for reason, start in zip(reasons, expected, strict=True))
    assert all(not f.why for f in findings if f.passed)
    assert {f.what for f in findings if f.rule == "promote.max_category_drop"} == (
        {f"{c.name}: landmark AP" for c in CATEGORIES if c.id != 2}
        if facts(**changes).comparisons
        else set()
    )


def test_the_largest_differences_are_in_the_decision(capsys: pytest.CaptureFixture[str]) -> None:
    findings = apply_rules(facts(reproduction=made_again(GPU)), GATE)
    shown = {f.what: (f.new, f.limit) for f in findings if f.what.startswith("predicted again")}
    assert shown == {
        "predicted again: 99 % of the landmarks, px": (0.2, 1.0),
        "predicted again: largest landmark difference, px": (12.0, None),
        "predicted again: largest score difference": (0.01, None),
        "predicted again: AP difference": (0.003, 0.01),
    }
    decision = decided(findings)
    print_decision("garments", {"version": 4, "champion": 3, "promoted": True}, decision, Path("page"))
    rows = [line for line in capsys.readouterr().out.splitlines() if "predicted again" in line]
    assert len(rows) == 4 and "0.2" in rows[0] and "max_pixel_diff" in rows[0] and "0.003" in rows[3]
    assert "<td>predicted again: AP difference</td><td>0.003</td>" in draw_page(decision)


@pytest.mark.parametrize(
    ("milliseconds", "reason"),
    [
        (2001.0, "time of a photo, ms: 2001 is above promote.max_latency_ms 2000"),
        (None, "time of a photo, ms: was not measured, promote.max_latency_ms is 2000"),
        (1999.0, None),
    ],
)
def test_an_absolute_budget_holds_where_the_operator_sets_one(
    milliseconds: float | None, reason: str | None
) -> None:
    first = facts(comparisons=None, latency_ms=(milliseconds, None), latency_ratio=None)
    limited = GATE.model_copy(update={"max_latency_ms": 2000.0})
    assert [f.why for f in apply_rules(first, limited) if not f.passed] == ([reason] if reason else [])


def test_the_tolerance_of_small_categories_follows_the_spread_of_an_average() -> None:
    assert [tolerance(GATE, n) for n in (1000, 100, 25, 4)] == pytest.approx([0.05, 0.05, 0.1, 0.25])


def decided(findings: list[Finding]) -> dict:
    return {
        "promoted": False,
        "model": "garments",
        "version": 4,
        "against": 3,
        "reasons": [f.why for f in findings if not f.passed],
        "pictures": 1234,
        "judged_anew": True,
        "findings": [f.to_json() for f in findings],
        "gate": GATE.model_dump(),
        "facts": {"snapshot": "abc", "git_commit": ""},
    }


def test_the_page_says_everything_that_the_decision_does() -> None:
    worse = pair(comparison(Difference(0.5, 0.6, -0.15, -0.05), vest=Difference(0.4, 0.6, -0.3, -0.1)))
    findings = apply_rules(facts(comparisons=worse, checks={"a_check": "<b>"}), GATE)
    decision = decided(findings)
    page = draw_page(decision)
    assert page.count("<circle") == 12 and page.count('class="point bad"') == 1
    assert "<td>vest</td><td>100</td><td>0.600</td><td>0.400</td>" in page
    assert "−0.300 … −0.100" in page and "1,234 images (the champion predicted again" in page
    assert "check a_check failed: &lt;b&gt;" in page and "max_latency_ms: null" in page
    assert "<b>100</b><span>champion 90</span>" in page and "promote.max_latency_ratio" in page
    assert "git_commit" not in page
    first = decision | {"against": None, "promoted": True, "reasons": [], "judged_anew": False}
    first["findings"] = [f.to_json() for f in apply_rules(facts(comparisons=None), GATE)]
    assert "no champion yet" in draw_page(first) and "<h2>Categories" not in draw_page(first)


@pytest.mark.parametrize("gap", [0.0, 1e-9, 0.007, 0.0619, 0.07, 0.1, 0.65, 0.95])
def test_the_axis_has_round_steps_at_any_gap(gap: float) -> None:
    vest = Difference(0.5 + gap, 0.5, gap, gap)
    same = Difference(0.5, 0.5, 0.0, 0.0)
    findings = apply_rules(facts(comparisons=pair(comparison(same, vest=vest))), GATE)
    page = draw_page(decided([replace(f, limit=gap) for f in findings]))
    ticks = [t.replace("−", "-") for t in re.findall(r'class="tick"[^>]*>([^<]*)<', page)]
    steps = [float(t) for t in ticks]
    assert 5 <= len(steps) <= 13 and steps == sorted(set(steps)) and ticks.count("0") == 1
    assert steps == [-s for s in reversed(steps)]
