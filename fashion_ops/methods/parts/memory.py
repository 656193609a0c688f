"""Memory that a training step frees stays with the process, for the next step to use.

glibc gives every large block back to the kernel as soon as it is freed, and the kernel clears each page
again when the next step touches it. On CPUs that is a tenth to a half of a small network's step. The
peak is the same either way: what one step needs, the next one needs again.
"""

import ctypes
import ctypes.util
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell the C library, for this process and what it forks; False where that isn't glibc."""
    name = ctypes.util.find_library("c") if sys.platform == "linux" else None
    library = ctypes.CDLL(name) if name else None
    if library is None or not hasattr(library, "gnu_get_libc_version"):
        return False
    return bool(library.mallopt(_M_MMAP_MAX, 0) and library.mallopt(_M_TRIM_THRESHOLD, _NEVER))
