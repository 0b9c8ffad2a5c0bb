"""Where keys come from: QKD, Diffie-Hellman, KEMs, and hybrids of them (ETSI TS 103 744)."""
