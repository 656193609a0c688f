"""The ledger: ``dvc.lock``, the only record of which outputs were made from which inputs.

Whoever runs a stage without DVC (Dagster, the command line) records it here, so that ``dvc status`` is
clean and ``dvc repro`` skips the stage; ``Ledger`` also says what is stale. ``cache`` looks after DVC's
cache and remote. No other package touches DVC, because its ``Repo`` is not a documented API, so its
version is pinned exactly. ``standalone`` says what is current and restores outputs without DVC.
Therefore this module imports the others only when they are used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fashion_ops.ledger.cache import (
        checkout_from,
        damaged_outputs,
        lost_outputs,
        push,
        repair_cache,
    )
    from fashion_ops.ledger.lockfile import LedgerError, LockEntry
    from fashion_ops.ledger.record import InputsChanged, Ledger

__all__ = [
    "InputsChanged",
    "Ledger",
    "LedgerError",
    "LockEntry",
    "checkout_from",
    "damaged_outputs",
    "lost_outputs",
    "push",
    "repair_cache",
]
_MODULES = {
    **dict.fromkeys(("LedgerError", "LockEntry"), "lockfile"),
    **dict.fromkeys(("InputsChanged", "Ledger"), "record"),
}


def __getattr__(name: str) -> Any:
    """Import a name of ``__all__`` from its module."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'cache')}"), name)
    globals()[name] = value
    return value
