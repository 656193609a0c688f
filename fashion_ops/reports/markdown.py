"""Markdown of cards: tables and texts whose values cannot become markup, and HTML made from it."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&])")
_OFF = ("image", "link", "autolink", "html_inline", "html_block", "reference")  # cards need none


def text(value: Any) -> str:
    """A value as plain text within Markdown, on one line."""
    words = " ".join(str(value).split())
    return _SPECIAL.sub(r"\\\1", words)


def number(value: Any, digits: int = 3) -> str:
    """A score with three decimals, a count with commas; empty for what is not known."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if not isinstance(value, float) or value != value or value < 0 else f"{value:.{digits}f}"


def share(part: float, whole: float) -> str:
    """A share in percent; empty without a whole."""
    return f"{100 * part / whole:.1f} %" if whole else ""


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], texts: int = 1) -> str:
    """A table whose first columns are text and whose other columns are numbers.

    Args:
        columns: names.
        rows: one value a column.
        texts: columns of text.
    """
    numbers = len(columns) - texts
    lines = ["|".join(map(text, columns)), "|".join(["---"] * texts + ["--:"] * numbers)]
    lines += ["|".join(map(text, row)) for row in rows]
    return "\n".join(f"|{line}|" for line in lines) + "\n"


def code(content: str) -> str:
    """A block of code, whatever is in it."""
    longest = max((len(run) for run in re.findall("`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{content.rstrip()}\n{fence}\n"


def to_html(markdown: str) -> Markup:
    """HTML of CommonMark with tables, without links, images and HTML of its own."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(list(_OFF))
    return Markup(parser.render(markdown))
