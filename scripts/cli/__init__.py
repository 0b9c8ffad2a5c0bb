"""The command line of ``qslice``: its parser, its commands, Mininet's shell."""
