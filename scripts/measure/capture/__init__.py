"""Frames captured on the channels, and what is readable in them."""
