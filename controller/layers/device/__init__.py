"""A network device: a NETCONF server (RFC 6241 over SSH, RFC 6242) whose configuration is what its bridge holds."""
