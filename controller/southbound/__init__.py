"""Adapters to what the controller drives: switches (OpenFlow 1.3, OVSDB of RFC 7047), tunnel agents, the KMS."""
