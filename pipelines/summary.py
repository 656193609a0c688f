"""The summary at the end of ``make demo``: AP by category, files to look at, and next commands."""

from rich.console import Console
from rich.table import Table

from fashion_ops.errors.reading import read_object
from fashion_ops.params import load_params
from fashion_ops.workspace import Workspace


def print_summary(ws: Workspace) -> None:
    """Print the results of the last evaluation and registration.

    Raises:
        FileNotFoundError: there is no evaluation yet.
    """
    from fashion_ops.registry.client import CHALLENGER, connect, with_alias

    metrics = read_object(ws.evaluation / "metrics.json", "landmark_ap", "per_category", "box_ap")
    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    variants = list(metrics["landmark_ap"])
    table = Table(title="Landmark AP on the validation split (official OKS, ground-truth boxes)")
    for name in ("category", "train", "val", "box AP", *variants):
        table.add_column(
            name.replace("_", " "), justify="left" if name == "category" else "right", no_wrap=True
        )
    for name, row in metrics["per_category"].items():
        values = [f"{row['landmark_ap'][r]:.3f}" for r in variants]
        counts = (str(row["train"]), str(row["validation"]), f"{row['box_ap']:.3f}")
        table.add_row(name.replace("_", " "), *counts, *values)
    table.add_section()
    means = [f"{metrics['landmark_ap'][r]:.3f}" for r in variants]
    table.add_row("all", "", "", f"{metrics['box_ap']:.3f}", *means, style="bold")
    with_predicted_boxes = [
        f"{ap:.3f}" if (ap := metrics["landmark_ap_own_boxes"].get(v)) is not None else ""
        for v in variants
    ]
    table.add_row("all, with predicted boxes", "", "", "", *with_predicted_boxes)
    console.print(table)

    image = sorted((ws.evaluation / "pictures").glob("*.png"))[0]
    photo = sorted((ws.raw / "validation" / "image").glob("*.jpg"))
    example = photo[0].relative_to(ws.root) if photo else "PHOTO.jpg"
    model = load_params(ws.params).registration.model
    version = with_alias(connect(ws.root), model, CHALLENGER)
    lines = (
        ("report", (ws.evaluation / "report.html").resolve()),
        ("image", image.resolve()),
        ("model", f"{model} version {version.version if version else '?'}, alias {CHALLENGER}"),
        ("next", "make ui                     the Dagster and MLflow pages of this run"),
        ("", ".venv/bin/dvc status        clean; change params.yaml and run it again"),
        ("", ".venv/bin/fashion-ops promote"),
        ("", f".venv/bin/fashion-ops predict {example} --out outputs --model models"),
    )
    for name, value in lines:
        console.print(f"[bold]{name:8}[/bold] {value}", highlight=False, soft_wrap=True)
