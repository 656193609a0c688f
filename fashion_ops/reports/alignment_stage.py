"""The report of one DFA stage: what it is good for, beside what needs no network, as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPORT = "report.md"
_COLUMNS = (  # metric of ``dfa_stage``, heading, format
    ("NE", "NE", ".4f"),
    ("NE mean shape", "mean shape", ".4f"),
    ("NE mean shape of type", "mean shape of each type", ".4f"),
    ("visibility accuracy", "visibility accuracy", ".3f"),
    ("always visible", "always visible", ".3f"),
    ("cut-off precision", "cut-off precision", ".3f"),
    ("cut-off recall", "cut-off recall", ".3f"),
    ("hard", "hard branch", ".0%"),
)


@dataclass(frozen=True)
class StageReport:
    """The scores of one model of a stage.

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


def write_report(folder: Path, stage: int, data: str, models: Sequence[StageReport]) -> None:
    """Write ``report.md`` into an existing folder.

    Args:
        folder: of the stage.
        stage: 1, 2 or 3.
        data: what it was evaluated on, in words.
        models: those of the stage.
    """
    head = ["model", "trained on", "evaluated on", *(title for _, title, _ in _COLUMNS)]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for model in models:
        cells = [model.kind, f"{model.train:,}", f"{model.evaluated:,}"]
        for name, _, form in _COLUMNS:
            value = model.metrics.get(name)
            cells.append("—" if value is None else format(value, form))
        lines.append("| " + " | ".join(cells) + " |")
    text = (
        f"# DFA, stage {stage}\n\nEvaluated on {data}.\n\n"
        + "\n".join(lines)
        + "\n\n- NE: distance over the frame's side, visible landmarks; mean of the landmarks' means. "
        "The mean shapes are those of the training garments.\n"
        "- Visibility has three states: visible, occluded, cut off. `always visible` is the accuracy "
        "of calling every landmark visible.\n"
        "- Precision and recall are those of cut-off landmarks; a dash stands where none is predicted "
        "or none is cut off.\n"
    )
    (folder / REPORT).write_text(text, encoding="utf-8")
