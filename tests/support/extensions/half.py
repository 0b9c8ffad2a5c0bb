"""A module that is imported half."""

from scripts.extensions.api import EXTENSION_API


class Half:
    """Never reached whole."""

    name = "half"
    version = "0.1"
    api = EXTENSION_API


raise RuntimeError("out of luck in the middle")
