"""Path computation: exact against oracles that try everything, and fast against a baseline."""
