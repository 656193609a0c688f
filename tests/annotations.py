"""The type checker of the tests: shapes, dtypes, numbers and containers of every library function.

jaxtyping's import hook (``conftest``) hands each function of ``fashion_ops`` to ``check``, which lets
beartype compare arguments and result with their annotations at each call. It checks what pyright can't
know. Classes of the library are pyright's to check; here a test may put a double in their place.
Processes that a test starts import the library without the hook, as a user does.
"""

from collections.abc import Callable
from typing import Any, ForwardRef, Literal, Self, get_args, get_origin

import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype

# Indices and sums of arrays are NumPy's numbers, and an int does where a float is expected.
NUMBERS = {
    bool: bool | np.bool_,
    int: int | np.integer,
    float: float | int | np.floating,
}
CONFIG = BeartypeConf(hint_overrides=FrozenDict(NUMBERS))


def check(function: Callable) -> Callable:
    """The function, with beartype's checks of the annotations that name no class of the library."""
    for name, hint in list(getattr(function, "__annotations__", {}).items()):
        if names_library_class(hint):
            del function.__annotations__[name]
    return beartype(conf=CONFIG)(function)


def names_library_class(hint: Any) -> bool:
    """Whether an annotation names a class of ``fashion_ops`` or an undefined one, at any depth."""
    if hint is Self or isinstance(hint, str | ForwardRef):
        return True
    if isinstance(hint, type) and hint.__module__.partition(".")[0] == "fashion_ops":
        return True
    if get_origin(hint) is Literal:
        return False
    parts = hint if isinstance(hint, list) else get_args(hint)
    return any(map(names_library_class, parts))
