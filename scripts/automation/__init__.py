"""Networks from Python (docs/how-to/python.md). Users import :class:`Testbed` from :mod:`scripts.testbed`."""
