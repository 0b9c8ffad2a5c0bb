"""The key management system: quantum, post-quantum and classical keys for pairs of SAEs (ETSI GS QKD 014 and 004)."""
