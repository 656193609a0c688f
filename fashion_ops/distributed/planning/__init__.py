"""What the whole pipeline costs on paper: hours and GPU-hours of each step, and what limits it.

``work`` says what each step computes, ``estimate`` how long that takes on some GPUs, ``devices`` and
``assumptions`` have the numbers that this rests on, ``measured`` reads rates that replace estimated
ones, and ``rates`` measures this machine. Nothing here starts Ray.
"""
