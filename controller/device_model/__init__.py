"""A device's configuration as YANG has it (RFC 7950), and what of it a switch holds, one made of the other. Pure."""
