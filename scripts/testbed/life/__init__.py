"""A run from its start to its end: what is started, who holds it, and what it tells whoever started it."""
