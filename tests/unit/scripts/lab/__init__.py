"""The exercises of `qslice lab`: what their checks make of what they see."""
