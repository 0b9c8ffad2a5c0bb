"""What can be said to ``qslice``: every command as a value, read with the standard library alone.

Help, the manual page, completion and the reference follow from these values, on a machine without a set-up too.
"""
