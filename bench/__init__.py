"""Benchmarks: each compares two implementations in one run and prints the ratio."""

import fashion_ops as fashion_ops  # before torch: sets how OpenMP's threads wait
