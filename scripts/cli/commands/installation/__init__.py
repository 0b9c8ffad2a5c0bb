"""This installation: what the machine can do, version."""
