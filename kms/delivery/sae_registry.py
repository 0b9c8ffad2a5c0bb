"""Who the SAEs are and where they live.

An SAE is known when the configuration names it or the authority issued it a certificate. Its home is the site that
either binds it to, else the site whose KME it last asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from kms.errors import UnauthorisedError


class Registration(Protocol):
    """What an authority knows of an SAE (:class:`kms.pki.authority.IssuedSae`)."""

    @property
    def site(self) -> str | None:
        """The site that the SAE's certificate binds it to, None for a free one."""


class SaeRegistry:
    """``configured`` and ``remembered`` map SAE ids to sites; ``find_issued`` looks into the authority's register."""

    def __init__(
        self,
        configured: Mapping[str, str],
        remembered: Mapping[str, str],
        sites: frozenset[str],
        find_issued: Callable[[str], Registration | None],
    ) -> None:
        self._configured = dict(configured)
        # A site that is no longer configured is nobody's home.
        self._last_seen = {sae: site for sae, site in remembered.items() if site in sites}
        self._sites = sites
        self._find_issued = find_issued

    def is_known(self, sae: str) -> bool:
        return sae in self._configured or self._find_issued(sae) is not None

    def site_of(self, sae: str) -> str | None:
        """The SAE's home; None when it is bound to none and was never seen."""
        return self.look_up(sae)[1]

    def look_up(self, sae: str) -> tuple[bool, str | None]:
        """Whether the SAE is known, and its home, with one look into the register."""
        if sae in self._configured:
            return True, self._configured[sae]
        issued = self._find_issued(sae)
        return issued is not None, self._bound_by(issued) or self._last_seen.get(sae)

    def admit(self, site: str, sae: str, certified_site: str | None) -> bool:
        """Whether this visit of a free SAE changed its home. UnauthorisedError when it may not come here.

        ``certified_site`` is the binding in the certificate that it showed.
        """
        if not self.is_known(sae):
            raise UnauthorisedError(f"SAE {sae} is not registered")
        bound = certified_site or self.site_bound_to(sae)
        if bound is not None:
            if bound != site:
                raise UnauthorisedError(f"SAE {sae} is bound to the KME of another site")
            return False
        if self._last_seen.get(sae) == site:
            return False
        self._last_seen[sae] = site
        return True

    def site_bound_to(self, sae: str) -> str | None:
        """The site that the configuration or its registration binds the SAE to, None for a free one."""
        if sae in self._configured:
            return self._configured[sae]
        return self._bound_by(self._find_issued(sae))

    def _bound_by(self, issued: Registration | None) -> str | None:
        # A binding to a site that this KMS does not have would make the SAE unreachable: it stays a binding, and
        # admit() refuses it everywhere, but no key is kept for a site that does not exist.
        return issued.site if issued is not None and issued.site in self._sites else None
