"""A section's fibre, source and detectors: parameters, exact statistics, simulated photons, attacks on the line."""
