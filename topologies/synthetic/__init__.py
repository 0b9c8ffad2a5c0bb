"""Random networks by a seed, the same on every machine: paper 000's, and one of four tiers. Pure."""
