"""Numbers of several seeds as one table: means, intervals, and claims counted seed by seed."""

from collections.abc import Sequence

import pandas as pd

from papers.alignment import half_interval

INTERVAL = "± "  # first letters of a column with half of a 95 % interval
CLAIMS = (
    ("fashion landmarks", "bbox"),
    ("fashion landmarks", "human joints"),
    ("human joints", "bbox"),
    ("bbox", "full image"),
)


def over_seeds(tables: Sequence[pd.DataFrame], with_interval: Sequence[str]) -> pd.DataFrame:
    """Average tables of equal shape, one a seed.

    Args:
        tables: one row a localisation.
        with_interval: columns that are followed by half of the 95 % interval of their mean; not with a
            single seed.
    """
    first, columns = tables[0], {}
    for name in first.columns:
        columns[name] = sum(table[name] for table in tables) / len(tables)
        if name in with_interval and len(tables) > 1:
            columns[f"{INTERVAL}{name}"] = pd.Series(
                {row: half_interval([float(t.loc[row, name]) for t in tables]) for row in first.index}
            )
    out = pd.DataFrame(columns).loc[first.index]
    out.index.name = "localisation"
    return out


def claims(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> list[str]:
    """Say for pairs of rows in how many seeds the first is no worse, column by column."""
    lines = []
    for better, worse in CLAIMS:
        parts = []
        for name in columns:
            pairs = [(float(t.loc[better, name]), float(t.loc[worse, name])) for t in tables]
            count = sum(a >= b for a, b in pairs)
            numbers = ", ".join(f"{a:.3f} and {b:.3f}" for a, b in pairs)
            parts.append(f"{name} in {count} of {len(tables)} seeds ({numbers})")
        lines.append(f"`{better}` no worse than `{worse}`: {'; '.join(parts)}.")
    return lines
