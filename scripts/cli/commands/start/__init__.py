"""A network's life: ``up``, ``down``, ``status``, ``demo``."""
