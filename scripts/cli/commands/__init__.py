"""The commands of ``qslice``, a module for each group of them."""
