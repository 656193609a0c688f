"""The report of DFA's stages and of GLE: their errors beside what needs no network, as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPORT = "report.md"
_COLUMNS = (  # metric of the step, heading, format
    ("NE", "NE", ".4f"),
    ("NE mean shape", "mean shape", ".4f"),
    ("NE mean shape of type", "mean shape of each type", ".4f"),
    ("visibility accuracy", "visibility accuracy", ".3f"),
    ("always visible", "always visible", ".3f"),
    ("cut-off precision", "cut-off precision", ".3f"),
    ("cut-off recall", "cut-off recall", ".3f"),
    ("hard", "hard branch", ".0%"),
)
_OF_POSITIONS = 3  # the first columns, which every method has


@dataclass(frozen=True)
class StageReport:
    """The scores of one model of a step.

    Attributes:
        kind: of garments that the model is for.
        train: number of training garments.
        evaluated: number of garments that it was evaluated on.
        metrics: by name; absent ones become a dash.
    """

    kind: str
    train: int
    evaluated: int
    metrics: dict[str, float]


def write_report(folder: Path, title: str, data: str, models: Sequence[StageReport]) -> None:
    """Write ``report.md`` into an existing folder.

    Args:
        folder: of the step's output.
        title: of the report, such as ``DFA, stage 1``.
        data: what it was evaluated on, in words.
        models: those of the step; a method without visibility has no columns of it.
    """
    predict_visibility = any("visibility accuracy" in model.metrics for model in models)
    columns = _COLUMNS if predict_visibility else _COLUMNS[:_OF_POSITIONS]
    head = ["model", "trained on", "evaluated on", *(heading for _, heading, _ in columns)]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for model in models:
        cells = [model.kind, f"{model.train:,}", f"{model.evaluated:,}"]
        for name, _, form in columns:
            value = model.metrics.get(name)
            cells.append("—" if value is None else format(value, form))
        lines.append("| " + " | ".join(cells) + " |")
    notes = [
        "- NE: distance over the frame's side, visible landmarks; mean of the landmarks' means. "
        "The mean shapes are those of the training garments."
    ]
    if predict_visibility:
        notes += [
            "- Visibility has three states: visible, occluded, cut off. `always visible` is the "
            "accuracy of calling every landmark visible.",
            "- Precision and recall are those of cut-off landmarks; a dash stands where none is "
            "predicted or none is cut off.",
        ]
    text = [f"# {title}", "", f"Evaluated on {data}.", "", *lines, "", *notes, ""]
    (folder / REPORT).write_text("\n".join(text), encoding="utf-8")
