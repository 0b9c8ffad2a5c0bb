"""Slices: their life cycle."""
