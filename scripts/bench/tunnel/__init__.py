"""``bench tunnel``: the tunnel's throughput beside that of others, over wires in namespaces."""
