"""A vendor's key management entity at a site: where it is, and what the operator says that it serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from topologies.spec.errors import TopologyError

MOST_LETTERS = 4096  # the kernel's PATH_MAX
_ROLES = ("ca", "cert", "key")


@dataclass(frozen=True)
class VendorKme:
    """Where the site's tunnel fetches keys of QKD. The files are named, never held: no secret is in a topology."""

    url: str
    ca: str
    cert: str
    key: str
    sae: str = ""  # the id that the KME knows the site's tunnel by; empty: the common name in ``cert``
    qkd_with: tuple[str, ...] = ()  # sites with whose KME it shares keys of QKD, by the operator's word

    def __post_init__(self) -> None:
        wrong = url_problem(self.url)
        if wrong is not None:
            raise TopologyError(f"kme: url: {wrong}")
        for role in _ROLES:
            problem = path_problem(getattr(self, role))
            if problem is not None:
                raise TopologyError(f"kme: {role}: {problem}")
        if len(set(self.qkd_with)) != len(self.qkd_with):
            raise TopologyError("kme: qkd_with: a site is named twice")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 443

    def to_dict(self) -> dict[str, object]:
        """Plain values; :func:`vendor_from_dict` is its inverse."""
        named = {"sae": self.sae} if self.sae else {}
        return {
            "url": self.url, "ca": self.ca, "cert": self.cert, "key": self.key, **named, "qkd_with": list(self.qkd_with)
        }  # fmt: skip


def vendor_from_dict(raw: Mapping[str, object] | None) -> VendorKme | None:
    """TypeError for what is no such mapping."""
    if raw is None:
        return None
    values = {**raw, "qkd_with": tuple(raw.get("qkd_with", ()))}  # type: ignore[arg-type]
    return VendorKme(**values)  # type: ignore[arg-type]


def url_problem(url: str) -> str | None:
    """Why it is no base URL of a KME; None when it is. A URL with a password in it is not repeated."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"no URL: {error}"
    if parts.username is not None or parts.password is not None:
        return "no user and no password belong in it: the KME knows its clients by certificate"
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment or port == 0:
        return f"{url[:100]!r} is no https://HOST[:PORT]"
    return None


def path_problem(path: str) -> str | None:
    """Why it is no name of a file; None when it is one. What may be a secret is not repeated."""
    if "-----BEGIN" in path or "\n" in path:
        return "the path of a file belongs here, never what is in it"
    if not path or "\0" in path or len(path) > MOST_LETTERS:
        return "no path of a file"
    return None
