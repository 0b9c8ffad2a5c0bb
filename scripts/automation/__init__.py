"""Networks from Python (docs/python-api.md). Users import :class:`Testbed` from :mod:`scripts.testbed`."""
