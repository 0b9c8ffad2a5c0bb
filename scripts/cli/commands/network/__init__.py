"""The network and its faults."""
