"""The one OpenVINO runtime of a process.

Each ``ov.Core`` loads the CPU plugin anew. The plugin replaces the thread's alternate signal stack by
memory of its own, and on the way out gives back what it found. Two cores that leave in another order
than the reverse of their coming thus leave a stack that is no longer mapped, and the next signal that
Python handles, such as the end of a child process, kills the process without a word. One core that
stays for as long as the process has no such order, and loads the plugin once.
"""

import openvino as ov

CORE = ov.Core()
