"""Keys: pools and rates, tunnels, certificates."""
