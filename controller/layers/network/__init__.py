"""The controller layer: a REST interface (after RFC 8040) to the devices, which it configures by NETCONF."""
