"""Clients of ETSI GS QKD 014, and the key servers of paper 003 that are built on it."""
