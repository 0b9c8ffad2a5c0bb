"""Setting a machine up, and ``qslice doctor``: what it can do and what it lacks."""
