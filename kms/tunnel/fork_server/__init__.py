"""Agents forked from one process that has imported all they need: they share its memory, and start in milliseconds."""
