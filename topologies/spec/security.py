"""The classes of key exchange that a channel offers and a connection asks for."""

from __future__ import annotations

from enum import IntEnum


class SecurityClass(IntEnum):
    """Key-exchange class of a channel, in the order of strength of papers 001 and 002."""

    NONE = 0
    DH = 1
    QRA = 2
    QKD = 3

    @property
    def label(self) -> str:
        """The lower-case name used in requests and reports."""
        return self.name.lower()

    @classmethod
    def parse(cls, text: str) -> SecurityClass:
        """The class called ``text``; ValueError names the choices."""
        try:
            return cls[text.upper()]
        except KeyError:
            choices = ", ".join(c.label for c in cls)
            raise ValueError(f"unknown security class {text!r}: one of {choices}") from None
