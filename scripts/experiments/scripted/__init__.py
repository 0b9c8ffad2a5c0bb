"""Experiments written as YAML: read, scheduled, carried out."""
