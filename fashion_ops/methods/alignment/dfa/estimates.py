"""The file of a DFA stage's predictions, which the next stage reads."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from fashion_ops.errors.reading import read_arrays
from fashion_ops.methods.alignment.dfa.inference import Estimate

ESTIMATES = "estimates.safetensors"
_ARRAYS = ("positions", "visibility", "labels", "branch")  # of an ``Estimate``


def write_estimates(path: Path, estimates: dict[str, Estimate]) -> None:
    """Write the predictions of one model of a stage as safetensors.

    Args:
        path: the file, usually named ``ESTIMATES``.
        estimates: predictions by split; garments in the order of the catalog.
    """
    arrays = {
        f"{split}.{name}": np.ascontiguousarray(getattr(estimate, name))
        for split, estimate in estimates.items()
        for name in _ARRAYS
    }
    save_file(arrays, path, metadata={"passes": str(next(iter(estimates.values())).passes)})


def read_estimates(path: Path) -> dict[str, Estimate]:
    """Read the file that ``write_estimates`` wrote: predictions by split, with ``passes`` set to 1."""
    arrays = read_arrays(path)
    splits = dict.fromkeys(name.partition(".")[0] for name in arrays)
    return {s: Estimate(*(arrays[f"{s}.{name}"] for name in _ARRAYS), passes=1) for s in splits}
