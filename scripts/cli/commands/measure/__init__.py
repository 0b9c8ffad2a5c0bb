"""Failure experiments and benchmarks."""
