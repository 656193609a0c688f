"""A ``Table`` as Markdown for people, CSV for programs, and an image."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from fashion_ops.files.outputs import FileKind, carries, check_file
from fashion_ops.files.publishing import write_whole
from papers.table import Column, PaperColumn, Table

KINDS = ("md", "csv", "png")
FILE = FileKind("python -m papers", "Made by `python -m papers")
_OURS, _THEIRS = "#2b6cb0", "#c05621"
_ROW, _PANEL = 0.36, 2.9  # inches


def write_table(
    table: Table, folder: Path, command: str, image: Callable[[Table, Path], None] | None = None
) -> list[Path]:
    """Write ``NAME.md``, ``NAME.csv`` and ``NAME.png`` into a folder, which is created if missing.

    Args:
        table: to write.
        folder: for the files.
        command: command line that made the table, printed in the Markdown file.
        image: function that draws the table; None is the table's ``picture`` or else ``draw``.

    Returns:
        The paths of the three files.

    Raises:
        OutputRefused: see ``check_table``.
    """
    check_table(folder, table.name)
    paths = [folder / f"{table.name}.{kind}" for kind in KINDS]
    with TemporaryDirectory() as scratch:
        page = Path(scratch) / paths[2].name
        if image is None and table.picture is not None:
            table.picture(page)
        else:
            (image or draw)(table, page)
        csv = csv_frame(table).to_csv(float_format="%.6g")
        contents = (markdown(table, command).encode(), csv.encode(), page.read_bytes())
    for path, content in zip(paths, contents, strict=True):
        write_whole(path, content)
    return paths


def check_table(folder: Path, name: str, inputs: Iterable[Path] = ()) -> None:
    """Check that the files of a table may be written into a folder.

    Args:
        folder: may hold other files.
        name: of the table.
        inputs: files that it is made from.

    Raises:
        OutputRefused: a file of this name is there, and no ``NAME.md`` says that it was made here.
    """
    page = folder / f"{name}.md"
    for path in (page, *(page.with_suffix(f".{kind}") for kind in KINDS[1:])):
        if path == page or path.is_dir() or path.is_symlink() or not carries(page, FILE.mark):
            check_file(path, FILE, inputs)


def markdown(table: Table, command: str) -> str:
    """The table as Markdown: what it was evaluated on, the numbers, notes and image."""
    label = str(table.rows.index.name)
    head, body = [label], [[str(row)] for row in table.rows.index]
    for column in table.columns:
        head.append(column.name)
        for line, value in zip(body, table.rows[column.name], strict=True):
            line.append(_text(value, column))
        for title, theirs in table.beside(column):
            head.append(title)
            for line, row in zip(body, table.rows.index, strict=True):
                line.append(_text(theirs.values.get(row), column))
    rule = ["---", *("---:" for _ in head[1:])]
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, rule, *body)]
    parts = [
        f"# {table.title}",
        f"Made by `{command}`.",
        f"Ours: {table.ours}.",
    ]
    if table.paper:
        parts[-1] += f" The paper's: {table.theirs}."
        if any(table.mark(table.column(p.column)) == "another data set" for p in table.paper):
            parts[-1] += (
                f" **Another data set**: the paper's numbers are of {table.paper_data}; compare what "
                "rises and falls from row to row, not the numbers."
            )
    parts.append("\n".join(lines))
    parts.append("\n".join(f"- {note}" for note in table.notes))
    parts.append(f"![{table.title}]({table.name}.png)")
    return "\n\n".join(part for part in parts if part) + "\n"


def csv_frame(table: Table) -> pd.DataFrame:
    """Our columns, the paper's as ``NAME_paper``, and what both were evaluated on, in every row."""
    out = pd.DataFrame(index=table.rows.index)
    for column in table.columns:
        out[column.name] = table.rows[column.name]
        for _, theirs in table.beside(column):
            name = " ".join(filter(None, (f"{column.name}_paper", theirs.setting)))
            out[name] = pd.Series(theirs.values, dtype=float).reindex(out.index)
    return out.assign(ours_on=table.ours, paper_on=table.theirs if table.paper else "")


def draw(table: Table, path: Path) -> None:
    """Draw one panel a column and one line a row: our numbers filled, the paper's hollow."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = [c for c in table.columns if c.drawn and not table.rows[c.name].isna().all()]
    labels = [str(row) for row in table.rows.index]
    widths = 0.085 * max(map(len, labels)) + _PANEL * max(len(columns), 1)
    figure = Figure(figsize=(widths, 1.5 + _ROW * len(labels)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, max(len(columns), 1), sharey=True, squeeze=False)[0]
    for panel, column in zip(panels, columns, strict=False):
        _draw_panel(panel, table, column)
    panels[0].set_yticks(range(len(labels)), labels)
    panels[0].set_ylim(len(labels) - 0.5, -0.5)
    figure.suptitle(table.title, fontsize=10, x=0.01, ha="left")
    legend = {}
    for panel in panels:
        for handle, name in zip(*panel.get_legend_handles_labels(), strict=True):
            legend.setdefault(name, handle)
    names = sorted(legend, key=lambda name: name != "ours")
    handles = [legend[name] for name in names]
    add_legend(figure, handles, names)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def add_legend(figure, handles: Sequence[object], names: Sequence[str]) -> None:  # noqa: ANN001
    """Put a legend under the panels of a matplotlib figure, on as many lines as its width asks for."""
    for columns in range(len(names), 0, -1):
        legend = figure.legend(
            handles, names, loc="outside lower left", ncols=columns, frameon=False, fontsize=8
        )
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def _draw_panel(panel, table: Table, column: Column) -> None:  # noqa: ANN001 (matplotlib's Axes)
    values = _plotted(table.rows[column.name].astype(float).to_list(), column)
    places = range(len(values))
    if column.zero:
        panel.barh(places, values, height=0.55, color=_OURS, alpha=0.8, label="ours")
    else:
        panel.plot(values, places, "o", color=_OURS, markersize=6, label="ours")
    for (title, theirs), marker in zip(table.beside(column), "DsX", strict=False):
        points = [theirs.values.get(row, float("nan")) for row in table.rows.index]
        points = _plotted(points, column)
        if _comparable(column, table, theirs):
            panel.plot(points, places, marker, mfc="none", mec=_THEIRS, ms=6, ls="none", label=title)
    if column.zero and not any(value < 0 for value in values):
        panel.set_xlim(left=0)
    panel.locator_params(axis="x", nbins=5)
    change = f",\nchange from {table.rows.index[0]}" if column.gain else ""
    panel.set_title(column.name + change, fontsize=9)
    panel.grid(axis="x", color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=8, length=0)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)


def _plotted(values: list[float], column: Column) -> list[float]:
    """The values, or their change from the first one where the column says ``gain``."""
    return [value - values[0] for value in values] if column.gain else values


def _comparable(column: Column, table: Table, theirs: PaperColumn) -> bool:
    """Whether a paper's numbers fit our axis; a phone's times, for instance, would flatten ours."""
    ours = table.rows[column.name].astype(float).abs().max()
    return not column.zero or 0.1 <= max(map(abs, theirs.values.values()), default=0) / ours <= 10


def _text(value: object, column: Column) -> str:
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):  # type: ignore[arg-type]
        return "—"
    return f"{float(value):,.{column.digits}f}"  # type: ignore[arg-type]
