"""The journal: what is written is read back, by this version and from the one before."""
