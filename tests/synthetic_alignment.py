"""Small synthetic alignment data, written and read in by several test files."""

from pathlib import Path

from fashion_ops.catalog.alignment.ingest import ingest
from fashion_ops.catalog.writer import Totals
from fashion_ops.params import SynthesizeAlignment
from fashion_ops.synthetic.alignment.generate import generate

NAMES = ("fld", "category_attribute", "in_shop", "consumer_to_shop", "lsp")
COUNTS = {"train": 30, "val": 5, "test": 5, "items": 4, "people": 6}


def write_alignment_data(folder: Path, *, workers: int = 1, **more) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = SynthesizeAlignment(**{"size": 96, **COUNTS, **more})
    generate(config, folder, seed=3, workers=workers)
    return folder


def read_in(source: str, root: Path, catalog: Path, **more) -> Totals:
    catalog.mkdir(parents=True)
    return ingest(source, root, catalog, **{"path_prefix": None, "shard_mb": 8, **more})
