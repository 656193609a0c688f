"""The answer of ``fashion-ops promote`` in a terminal: a table of the rules, and what to do next."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_CATEGORY_RULE = "promote.max_category_drop"
_PLAIN_WIDTH = 110  # where the output is no terminal
_NEXT = {  # rule that does not hold -> what to do about it
    "promote.min_ap": "train longer or on more data: `fashion-ops configure`, then `dvc repro`",
    "promote.min_box_ap": "train the detector longer or on more data, then `dvc repro`",
    "promote.max_drop": "keep the champion, or change data or parameters and run `dvc repro`",
    "promote.max_likely_drop": "evaluate on more images: with few, luck decides",
    _CATEGORY_RULE: "look at this category's garments, or its `categories.NAME` in params.yaml",
    "equal bits": "find what changed the models or the code since `fashion-ops evaluate`",
    "promote.max_pixel_difference": "promote on the kind of machine that evaluated, or raise the limit",
    "promote.max_ap_difference": "promote on the kind of machine that evaluated, or raise the limit",
    "promote.max_latency_ratio": "promote again when the machine is idle; else a smaller model",
    "promote.max_latency_ms": "the budget is for one machine and its load; null turns it off",
    "promote.max_size_mb": "take a smaller backbone, or raise the limit",
    "promote_alignment.max_ne": "train longer or on more data, then `dvc repro`",
    "promote_alignment.min_gain": "train longer: the mean shape of a type needs no network",
    "promote_alignment.max_rise": "keep the champion, or change data or parameters and run `dvc repro`",
    "promote_alignment.max_likely_rise": "evaluate on more garments: with few, luck decides",
    "promote_alignment.max_pixel_difference": "promote where its catalog and kind of machine are",
    "promote_alignment.max_latency_ratio": "promote again when the machine is idle",
    "promote_alignment.max_size_mb": "take a smaller backbone, or raise the limit",
    "blocking check": "mend what the check names, then `dvc repro` and `fashion-ops register`",
    "blocking checks": "run `fashion-ops register` again: it records them",
}


def print_decision(
    model: str,
    result: Mapping[str, Any],
    decision: Mapping[str, Any] | None,
    page: Path,
    console: Console | None = None,
    command: str = "promote",
) -> None:
    """Print what the step ``promote`` or ``promote_alignment`` returned, and the decision behind it.

    Args:
        model: name of the registered model.
        result: what it returned.
        decision: the content of promotion.json; None if nothing was measured.
        page: the HTML page of the decision.
        console: to print to; None for the standard output.
        command: the step, as it is typed.
    """
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=_PLAIN_WIDTH)
    if decision is not None:
        console.print(_table(decision))
    version, champion = result["version"], result["champion"]
    verdict = "is champion" if result["promoted"] else "was not promoted"
    lines = [f"[bold]{escape(model)} version {version} {verdict}[/bold]"]
    if decision is None:
        lines.append(f"  {escape(result['reasons'])}")
    else:
        lines += [f"  {escape(reason)}" for reason in decision["reasons"]]
    if not result["promoted"]:
        lines.append(f"champion  {f'still version {champion}' if champion else 'none yet'}")
    steps = _next_steps(model, result, decision, command)
    lines += [f"{'next' if n == 0 else '':8}  {escape(step)}" for n, step in enumerate(steps)]
    if decision is not None:
        lines.append(f"page      {escape(str(page))}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _table(decision: Mapping[str, Any]) -> Table:
    """One row per rule and quantity; the categories that pass share a row."""
    against = decision["against"]
    title = f"version {decision['version']} " + (
        f"against champion version {against}" if against else "(there is no champion yet)"
    )
    table = Table(title=f"{title}, on {decision['pictures']:,} images")
    for name in ("what", "challenger", "champion", "limit", "", "rule"):
        left = name in ("what", "rule")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    passed = [f for f in decision["findings"] if f["rule"] == _CATEGORY_RULE and f["passed"]]
    for finding in decision["findings"]:
        if finding not in passed:
            table.add_row(*_row(finding), style=None if finding["passed"] else "red")
    if passed:
        table.add_row(f"{len(passed)} categories", "", "", "", "✓", _CATEGORY_RULE)
    return table


def _row(finding: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of one finding."""
    form = "{:,.0f}" if finding["rule"].endswith(("_ms", "_mb")) else "{:.3f}"
    if finding["what"].startswith("predicted again"):  # rounding, in general
        form = "{:.2g}"
    numbers = (finding[key] for key in ("new", "old", "limit"))
    cells = ("" if number is None else form.format(number) for number in numbers)
    mark = "✓" if finding["passed"] else "✗"
    return (escape(finding["what"]), *cells, mark, escape(finding["rule"]))


def _next_steps(
    model: str, result: Mapping[str, Any], decision: Mapping[str, Any] | None, command: str
) -> Sequence[str]:
    """What the reader may do now, in sentences or commands."""
    if result["promoted"]:
        option = "" if command == "promote" else f" --model {model}"
        return (
            f"fashion-ops predict PHOTO.jpg --out outputs --model models:/{model}@champion",
            f"fashion-ops history{option}          all promotions, refusals and rollbacks",
            f'fashion-ops rollback{option} --why "..."   if it does not keep what it promised',
        )
    if decision is None:
        return (f"fashion-ops {command}   when the other process is done",)
    failed = [f["rule"] for f in decision["findings"] if not f["passed"]]
    steps = [f"{rule}: {_NEXT[rule]}" for rule in dict.fromkeys(failed) if rule in _NEXT]
    return steps or [f"mend what the reason says, then run `fashion-ops {command}` again"]
