"""Numbers of several seeds as one table: means, intervals, and claims counted seed by seed."""

from collections.abc import Sequence

import numpy as np
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
    rows = tables[0].index
    columns: dict[str, np.ndarray] = {}
    for name in tables[0].columns:
        values = np.array([table[name].to_numpy(float) for table in tables])  # (seeds, rows)
        columns[name] = values.mean(0)
        if name in with_interval and len(tables) > 1:
            columns[f"{INTERVAL}{name}"] = np.array([half_interval(list(row)) for row in values.T])
    return pd.DataFrame(columns, index=rows.rename("localisation"))


def claims(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> list[str]:
    """Say for pairs of rows in how many seeds the first is no worse, column by column."""
    lines = []
    for better, worse in CLAIMS:
        parts = []
        for name in columns:
            by_row = [dict(zip(t.index, t[name].to_numpy(float), strict=True)) for t in tables]
            pairs = [(values[better], values[worse]) for values in by_row]
            count = sum(a >= b for a, b in pairs)
            numbers = ", ".join(f"{a:.3f} and {b:.3f}" for a, b in pairs)
            parts.append(f"{name} in {count} of {len(tables)} seeds ({numbers})")
        lines.append(f"`{better}` no worse than `{worse}`: {'; '.join(parts)}.")
    return lines
