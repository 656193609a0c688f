"""How files are written: as a whole, over nothing foreign, by one writer at a time.

``publishing`` writes outputs whole and finishes what killed processes left. ``outputs`` decides what a
command may replace. ``writers`` is the lock of a workspace, ``processes`` says
whether its holder still runs. Nothing here knows a step or a format.
"""
