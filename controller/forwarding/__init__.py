"""What switches and tunnel ends shall hold for a connection, as values: rules, groups, labels (RFC 3031)."""
