"""What can go wrong in the KMS, sorted by whose fault it is.

The table that maps these to HTTP statuses is in :mod:`kms.interfaces.etsi014_schema`. No message ever carries key
material.
"""

from __future__ import annotations


class KmsError(Exception):
    """Base of every error that the KMS package raises on purpose."""


class ConfigError(KmsError):
    """The configuration cannot be used: ``place`` is the path of the field, with dots, ``reason`` says why."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place, self.reason = place, reason


class PkiError(KmsError):
    """A certificate could not be made, found or trusted."""


class StoreError(KmsError):
    """The store of undelivered keys cannot be read or written."""


class RequestError(KmsError):
    """The caller asked for something it may not have in this form (ETSI 014: 400).

    ``details`` goes into the Error body's array of the same name.
    """

    def __init__(self, message: str, details: tuple[dict[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.details = details


class KeysNotFoundError(RequestError):
    """At least one key id is not, or no longer, held for this pair of SAEs."""

    def __init__(self, key_ids: tuple[str, ...]) -> None:
        super().__init__(
            "one or more keys specified are not found on KME", tuple({"key_ID": key_id} for key_id in key_ids)
        )


class UnauthorisedError(KmsError):
    """The caller is not the SAE that this key or this KME is for (ETSI 014: 401)."""


class ExhaustedError(KmsError):
    """There is no key to give now; later there may be (ETSI 014: 503)."""


class NoRoomError(ExhaustedError):
    """Too many delivered keys wait for their slaves already: of this SAE, of this pair, or in all."""


class ShortOfKeyError(ExhaustedError):
    """QKD sections on the way have too little key at this moment, and are making more."""


class SectionStoppedError(ExhaustedError):
    """A QKD section that the key would have to cross gives no key: its QBER is above the abort threshold."""


class NoRouteError(ExhaustedError):
    """No chain of usable QKD links joins the two sites."""


class PeerUnavailableError(ExhaustedError):
    """The KME of another site, which is a process of its own, does not answer."""


class KeysForgottenError(ExhaustedError):
    """The other KME no longer has its copies of keys that were agreed on: it was restarted."""


class RevocationsUnknownError(ExhaustedError):
    """The list of revoked certificates cannot be read or trusted: nobody is let in on a certificate until it can."""


class ExchangeError(KmsError):
    """A key exchange failed a check: an invalid public value, a tag that does not verify."""


class KeySourceError(ExchangeError):
    """Somebody else's key source did not answer; ``code`` says what it did instead."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class KeyMakerError(KmsError):
    """Somebody else's model of a QKD section failed, or what it said cannot be; ``code`` says how."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class MalformedMessageError(ExchangeError):
    """Another KME sent what is not a message of this kind; ``field`` is the one that is wrong, and begins the text."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class ClientError(KmsError):
    """Base of what :class:`kms.clients.etsi014_client.Kme014Client` raises."""


class KmeUnavailableError(ClientError):
    """The KME cannot be reached or has no key now (503): worth another try later."""


class KmeRefusedError(ClientError):
    """The KME understood and said no (400, 401), or its certificate is not to be trusted: do not repeat as it is.

    ``status`` is the HTTP status, None when TLS already failed.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
