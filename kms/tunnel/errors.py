"""What can go wrong in the tunnel, by whose fault it is."""

from __future__ import annotations


class TunnelError(Exception):
    """Base of every error that this package raises."""


class PacketRejected(TunnelError):
    """A packet that must not pass; always the sender's fault or the network's, never a reason to stop."""


class Malformed(PacketRejected):
    """Octets that are not what they ought to be: truncated, padded wrongly, lengths that do not agree."""


class AuthenticationFailed(PacketRejected):
    """The integrity check value does not fit the key."""


class Replayed(PacketRejected):
    """A sequence number seen before, or older than the window."""


class Duplicate(Replayed):
    """A sequence number that the window knows to have been received: a replay, or the copy that 1+1 sends."""


class SequenceExhausted(TunnelError):
    """The SA has sent its last sequence number; a further packet would use a nonce twice (RFC 4303, 3.3.3)."""


class SuiteFailed(SequenceExhausted):
    """An extension's suite has failed: as if its numbers were used up, the SA seals nothing more."""


class ConfigurationError(TunnelError):
    """A configuration or request that cannot be met; ``field`` is the path of what is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class Conflict(ConfigurationError):
    """What was asked for is held by another connection."""


class NotFound(TunnelError):
    """No connection of that id."""


class Unavailable(TunnelError):
    """It could be right but is not to be had now: no SA yet, no device, no key (``lacks_key``: the KME gave none)."""

    def __init__(self, message: str, *, lacks_key: bool = False) -> None:
        super().__init__(message)
        self.lacks_key = lacks_key


class KeyRefused(TunnelError):
    """The KME gave no key. ``is_final`` tells that asking again for the same key cannot help."""

    def __init__(self, message: str, *, is_final: bool) -> None:
        super().__init__(message)
        self.is_final = is_final
