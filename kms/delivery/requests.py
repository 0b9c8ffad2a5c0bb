"""A Key request (ETSI GS QKD 014 v1.1.1, 6.2) once it is checked, and the keys that answer it (6.3), as values."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from kms.keys.key import UNCONSTRAINED, KeySource, RelayKind, RoutingConstraint

EXTENSION_UNMET = "not all extension_mandatory request options could be met"


@dataclass(frozen=True)
class EncRequest:
    """A checked Key request (6.2). ``source`` None leaves the choice to the KME, ``max_age_s`` that of fresh keys."""

    number: int
    size_bits: int
    additional_slaves: tuple[str, ...] = ()
    source: KeySource | None = None
    route: RelayKind | None = None
    max_age_s: float | None = None
    disjoint_relays: int = 1

    @property
    def constraint(self) -> RoutingConstraint:
        is_any = self.route is None and self.disjoint_relays == 1
        return UNCONSTRAINED if is_any else RoutingConstraint(self.route, self.disjoint_relays)


@dataclass(slots=True)
class DeliveredKey:
    """One entry of a Key container (6.3). Made by the thousand a second: freezing it would triple its cost."""

    key_id: uuid.UUID
    key: bytes = field(repr=False)
    source: KeySource
    route: RelayKind | None = RelayKind.DIRECT  # None: it depends on where the slave will ask for it
    relays: int = 1
