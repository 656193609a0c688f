"""What ``fashion-ops promote`` prints: every rule, the verdict, and what to do next."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.reports.decision_table import print_decision

PAGE = Path("reports/promotion/promotion.html")


def finding(what: str, rule: str, why: str = "", **numbers: float | None) -> dict[str, Any]:
    empty = dict.fromkeys(("new", "old", "limit", "low", "high", "garments"))
    return {"what": what, "rule": rule, "passed": not why, "why": why, **empty, **numbers}


def decision(*findings: dict[str, Any], against: int | None = 3) -> dict[str, Any]:
    reasons = [f["why"] for f in findings if f["why"]]
    return {
        "promoted": not reasons,
        "version": 4,
        "against": against,
        "reasons": reasons,
        "pictures": 1234,
        "findings": list(findings),
    }


def printed(result: dict[str, Any], made: dict[str, Any] | None) -> list[str]:
    file = io.StringIO()
    print_decision("garments", {"version": 4, **result}, made, PAGE, Console(file=file))
    return file.getvalue().splitlines()


AP = finding("landmark AP", "promote.min_ap", new=0.61, limit=0.3)
TIME = finding("time of a photo, ms", "promote.max_latency_ms", new=7571.0, old=7400.0)
RATIO = ("time of a photo, ratio", "promote.max_latency_ratio")
SKIRT = ("skirt: landmark AP", "promote.max_category_drop")


def test_a_refusal_says_which_rule_and_what_to_do() -> None:
    slow = finding(*RATIO, "a photo takes 1.90 times as long", new=1.9, old=1.0, limit=1.5)
    worse = finding(*SKIRT, "skirt: landmark AP 0.4 is 0.2 below", new=0.4, old=0.6, limit=0.05)
    vest = finding("vest: landmark AP", SKIRT[1], new=0.6, old=0.6, limit=0.05)
    made = decision(AP, TIME, slow, worse, vest, vest)
    lines = printed({"promoted": False, "champion": 3, "reasons": "..."}, made)
    text = "\n".join(lines)
    assert "version 4 against champion version 3, on 1,234 images" in text
    [row] = [line for line in lines if "time of a photo, ratio" in line]
    assert "1.900" in row and "1.500" in row and "✗" in row
    [row] = [line for line in lines if "time of a photo, ms" in line]
    assert "7,571" in row and "7,400" in row and "✓" in row
    assert "skirt: landmark AP" in text and "vest" not in text and "2 categories" in text
    assert "garments version 4 was not promoted" in lines
    assert "  a photo takes 1.90 times as long" in lines and "champion  still version 3" in lines
    [first, second] = [
        line for line in lines if line.lstrip().removeprefix("next").strip()[:8] == "promote."
    ]
    assert first.startswith(
        "next      promote.max_latency_ratio: promote again when the machine is idle"
    )
    assert second.startswith("          promote.max_category_drop: look at this category's")
    assert lines[-1] == f"page      {PAGE}"


def test_a_promotion_says_how_to_use_and_how_to_undo_it() -> None:
    result = {"promoted": True, "champion": 4, "reasons": "the gate holds"}
    lines = printed(result, decision(AP, TIME, against=None))
    assert "(there is no champion yet)" in "\n".join(lines)
    assert "garments version 4 is champion" in lines
    assert any("predict PHOTO.jpg" in line for line in lines)
    assert any("rollback --why" in line for line in lines)


@pytest.mark.parametrize(
    ("promoted", "reasons", "following"),
    [
        (True, "champion already", "fashion-ops predict"),
        (
            False,
            "garments: promotion by process 7 [on] host came first",
            "when the other process is done",
        ),
    ],
)
def test_without_a_decision_the_reason_stands_alone(
    promoted: bool, reasons: str, following: str
) -> None:
    lines = printed({"promoted": promoted, "champion": 0, "reasons": reasons}, None)
    assert f"  {reasons}" in lines and any(following in line for line in lines)
    assert not any("page" in line or "│" in line for line in lines)


@pytest.mark.parametrize("rule", ["nothing against it", "a rule of a later version"])
def test_what_has_no_advice_of_its_own_still_ends_with_a_next_step(rule: str) -> None:
    made = decision(finding("challenger", rule, "version 4 was rolled back"))
    lines = printed({"promoted": False, "champion": 3, "reasons": "..."}, made)
    assert "next      mend what the reason says, then run `fashion-ops promote` again" in lines


@pytest.mark.parametrize(("promoted", "status"), [(True, 0), (False, 1)])
def test_the_exit_status_of_promote_says_whether_it_promoted(
    promoted: bool, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fashion_ops.registry import client
    from fashion_ops.steps import promote

    def run(
        params: Any, ws: Any, again: bool, replace_unloadable: bool, on_decision: Any
    ) -> dict[str, Any]:
        on_decision(decision(AP if promoted else AP | {"passed": False, "why": "AP 0.1 is too low"}))
        return {"promoted": promoted, "version": 4, "champion": 3, "reasons": "..."}

    (tmp_path / "params.yaml").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "connect", lambda *_, **__: None)
    monkeypatch.setattr(promote, "run", run)
    done = CliRunner().invoke(app, ["promote"])
    assert done.exit_code == status, done.output
    assert ("AP 0.1 is too low" in done.output) != promoted and "landmark AP" in done.output
