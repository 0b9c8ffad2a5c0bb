"""Readers of other people's formats: text or objects in, a neutral graph out. ``reader.py`` alone opens files."""
