"""The settings of a network, of experiments and of benchmarks: one table, one file, and where each value comes from.

:mod:`~scripts.configuration.table` declares every setting once. What the file may say, its JSON Schema, the reference
(docs/reference/config.md) and ``config show`` are made of it.
"""
