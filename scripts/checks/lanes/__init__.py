"""Lanes: several pytests that run tests on networks at the same time, each on a machine of its own."""
