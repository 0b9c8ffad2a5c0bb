"""``qslice test``: lint, types and the test suite."""
