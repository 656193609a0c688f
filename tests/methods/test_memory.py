"""Freed memory that stays with a training process."""

import subprocess
import sys

import pytest

CODE = """
import ctypes
from papers.subprocess_measure import memory_mib, peak_mib
from fashion_ops.methods.parts.memory import keep_freed_memory
kept = {keep}
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
libc.malloc.argtypes = [ctypes.c_size_t]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
def step():
    block = libc.malloc(200 << 20)
    libc.memset(block, 1, 200 << 20)
    libc.free(block)
before = memory_mib()
step()
after = memory_mib()
for _ in range(5):
    step()
print(kept, after - before > 190, peak_mib() < before + 250)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
@pytest.mark.parametrize(
    ("keep", "said"), [("keep_freed_memory()", "True True True"), ("0", "0 False True")]
)
def test_a_freed_block_stays_and_is_used_again(keep, said):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(keep=keep)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == said.split()
