"""A connection's tunnel without I/O: key exchange, security associations (RFC 4301), probes, retransmission."""
