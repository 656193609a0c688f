"""Benchmarks: each compares two implementations in one run and prints the ratio."""
