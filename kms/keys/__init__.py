"""Keys as values: their life, limits, inventory and ledger."""
