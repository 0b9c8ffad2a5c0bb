"""The command ``qslice``, and what it runs: set-up, test-bed, measurements, experiments, benchmarks."""
