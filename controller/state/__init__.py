"""The model of the whole network in memory: what is reserved, and what follows for switches and tunnels."""
