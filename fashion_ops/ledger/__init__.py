"""The ledger: ``dvc.lock``, the only record of which outputs were made from which inputs.

Whoever runs a stage without DVC (Dagster, the command line) records it here, so that ``dvc status`` is
clean and ``dvc repro`` skips the stage; ``Ledger`` also says what is stale. ``cache`` looks after DVC's
cache and remote. No other package touches DVC, because its ``Repo`` is not a documented API.
"""

from fashion_ops.ledger.cache import checkout_from, damaged_outputs, push, repair_cache
from fashion_ops.ledger.lockfile import LockEntry
from fashion_ops.ledger.record import InputsChanged, Ledger
from fashion_ops.ledger.repository import LedgerError

__all__ = [
    "InputsChanged",
    "Ledger",
    "LedgerError",
    "LockEntry",
    "checkout_from",
    "damaged_outputs",
    "push",
    "repair_cache",
]
