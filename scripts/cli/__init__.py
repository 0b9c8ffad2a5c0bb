"""The command line of ``qslice``: its parser, its output, its bars of progress."""
