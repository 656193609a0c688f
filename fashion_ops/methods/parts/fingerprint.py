"""A short name for the data that a run is trained on, kept in its checkpoints.

A data set of samples offers ``fingerprint()``; ``fit`` refuses a checkpoint with another one. Labels,
boxes and image ids count, the pixels of photos do not: reading them all would take as long as an epoch.
"""

import hashlib
from typing import Any

import numpy as np
import torch


def fingerprint(*values: Any) -> str:
    """Hash arrays (with type and shape), tensors, and anything else by its ``repr``; 16 hex digits."""
    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().numpy()
        if isinstance(value, np.ndarray) and value.dtype == object:
            value = value.tolist()
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype}{value.shape}".encode())
            digest.update(value.tobytes())
        else:
            digest.update(f"{value!r}".encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def fingerprint_of(dataset: Any, weights: np.ndarray | None) -> str:
    """Hash a data set and its samples' relative frequencies; by its length if it has no fingerprint.

    Args:
        dataset: of samples.
        weights: (N,) as of ``fit``, or None.
    """
    own = dataset.fingerprint() if hasattr(dataset, "fingerprint") else len(dataset)
    return fingerprint(own, weights)
