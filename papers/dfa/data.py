"""Whether a catalog holds the images that the paper's numbers are of."""

from fashion_ops.catalog.alignment.reader import AlignmentCatalog

_RELEASED = {  # garments of each split, as released
    "FLD": {"train": 83_033, "val": 19_992, "test": 19_991},
    "LSP": {"train": 1_000, "test": 1_000},
}
_SLACK = 0.02  # of a split's garments that quarantine may have kept out


def identify(catalog: AlignmentCatalog) -> tuple[str, bool]:
    """What the catalog holds, in words, and whether it is a released data set."""
    counts = catalog.garments["split"].value_counts()
    for name, splits in _RELEASED.items():
        if all(abs(int(counts.get(s, 0)) - n) <= _SLACK * n for s, n in splits.items()):
            return name, True
    return f"synthetic twin or a data set of your own ({catalog.folder.name})", False
