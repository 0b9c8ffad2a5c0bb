"""`qslice test --vm`: the parts that want a whole Debian kernel, tested in a guest."""
