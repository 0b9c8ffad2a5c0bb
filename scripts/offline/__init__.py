"""A set-up without a network: the archive that it takes its packages from, and a bare machine to try it on."""
