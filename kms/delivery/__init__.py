"""Keys delivered to SAEs: single keys (ETSI GS QKD 014) and streams of them (ETSI GS QKD 004)."""
