"""Decisions about slices at work, without I/O: restoration, reversion, fallbacks, key supply, changes."""
