"""The ledger: ``dvc.lock``, the only record of what was made from what.

A driver that ran a stage itself (Dagster) writes the stage's entry here, so that ``dvc status`` is
clean and ``dvc repro`` skips it; it asks here what is stale: ``record``. The cache and the remote are
kept by ``data``. DVC is touched nowhere else: ``Repo`` is not its documented API.
"""

from fashion_ops.ledger.data import damaged, fill_from, mend, push
from fashion_ops.ledger.lockfile import LockEntry
from fashion_ops.ledger.record import InputsChanged, Ledger
from fashion_ops.ledger.stages import LedgerError

__all__ = [
    "InputsChanged",
    "Ledger",
    "LedgerError",
    "LockEntry",
    "damaged",
    "fill_from",
    "mend",
    "push",
]
