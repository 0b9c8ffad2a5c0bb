"""What a well-formed slice request is held against: the clock, the network there is, what is forbidden on it."""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.request import AnyShape, SliceRequest, ThreeRoles
from controller.model.tunnel_profile import EXTENSION_SUITE
from controller.schema.encryption_terms import needs_hosts_tunnel
from controller.schema.slice_request import InvalidRequest
from topologies.spec import EncryptionMode, SecurityClass, Topology


def check_times(request: SliceRequest, now: float) -> None:
    """Refuse a slice whose end, or whose last occurrence, has passed. Raises InvalidRequest."""
    if request.end is not None and request.end <= now:
        raise InvalidRequest((("end", "has passed"),))
    if request.recurrence is not None and request.recurrence.next(now) is None:
        raise InvalidRequest((("schedule", "its last occurrence has passed"),))


def check_against(topology: Topology, request: SliceRequest) -> None:
    """Refuse sites and channels that the topology does not have. Raises InvalidRequest."""
    problems: list[tuple[str, str]] = []
    sites = _ends(request.shape)
    channels: list[tuple[str, str]] = []
    for key, spec in request.specs.items():
        at = f"connections.{key}"
        sites += [(f"{at}.exclude_sites", s) for s in sorted(spec.exclude_sites)]
        sites += [(f"{at}.include_sites.{i}", s) for i, s in enumerate(spec.include_sites)]
        channels += [(f"{at}.exclude_channels", c) for c in sorted(spec.exclude_channels)]
        channels += [(f"{at}.include_channels.{i}", c) for i, c in enumerate(spec.include_channels)]
    problems += [(path, f"there is no site {s!r}") for path, s in sites if not topology.has_site(s)]
    problems += [(path, f"there is no channel {c!r}") for path, c in channels if not topology.has_channel(c)]
    if problems:
        raise InvalidRequest(tuple(problems))


def _ends(shape: ThreeRoles | AnyShape) -> list[tuple[str, str]]:
    """The sites that connections join, each with its field."""
    if isinstance(shape, AnyShape):
        ends = [(c.name, end, site) for c in shape.listed for end, site in (("from", c.src), ("to", c.dst))]
        return [(f"connections.{name}.{end}", site) for name, end, site in ends]
    sites = [(f"cells.{i}", cell) for i, cell in enumerate(shape.cells)]
    sites.append(("core", shape.core))
    return sites if shape.site is None else [*sites, ("compute.site", shape.site)]


@dataclass(frozen=True)
class Terms:
    """What a request is held against: the network there is, the suites that nobody may use on it, those of extensions
    that are in force, and what seals."""

    topology: Topology
    forbidden_suites: frozenset[str] = frozenset()
    extension_suites: frozenset[str] = frozenset()
    encryption: EncryptionMode = EncryptionMode.HOST
    always: tuple[SecurityClass, ...] = ()  # what is in every key of QKD

    def accept(self, request: SliceRequest) -> SliceRequest:
        """The request as it is carried out here. Raises InvalidRequest."""
        request = request.in_mode(self.encryption, self.always)
        check_against(self.topology, request)
        problems = [
            (f"connections.{key}.suite", refused)
            for key, spec in request.specs.items()
            if spec.security.is_encrypted and (refused := self._refuses(spec.suite))
        ]
        if not self.encryption.hosts_seal:
            problems += [
                (f"connections.{key}.{field}", wrong)
                for key, spec in request.specs.items()
                for field, wrong in needs_hosts_tunnel(spec)
            ]
        if problems:
            raise InvalidRequest(tuple(problems))
        return request

    def _refuses(self, suite: str) -> str | None:
        if suite in self.forbidden_suites:
            return f"{suite} is forbidden here (forbidden_suites)"
        if EXTENSION_SUITE.fullmatch(suite) and suite not in self.extension_suites:
            there = ", ".join(sorted(self.extension_suites)) or "none"
            return f"no extension {suite} is in force (--use suite=...); there is {there}"
        return None
