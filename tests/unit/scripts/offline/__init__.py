"""The archive for a set-up without a network, and its use."""
