"""Whether a KME keeps to ETSI GS QKD 014 v1.1.1: what to ask it, and what its answers show. Pure."""
