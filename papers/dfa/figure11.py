"""Figure 11: as figure 8, on further test garments."""

from papers.config import TableConfig
from papers.dfa import figure8
from papers.table import Table


def run(config: TableConfig) -> Table:
    """Draw the garments half way between those of figure 8."""
    return figure8.run(config, "figure11", start=0.5)
