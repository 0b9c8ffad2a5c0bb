"""Trusted-node relay: a key is carried from site to site over QKD sections, one-time pad by one-time pad.

::

    site a                                                                       site b
    K --xor--> [section s1] --xor--> [section s2] --xor--> ... --xor--> [section sn] --> K
       pad s1 (Alice's)    pad s1 (Bob's), pad s2 (Alice's) ...                pad sn (Bob's)

Every node between two sections holds K in the clear for a moment: it is trusted. On each traversal of a section the
message takes as many bits of that section's key as it has, and the tag 256 more; a route that crosses a section twice
pays twice. Nothing is taken anywhere unless every section on the route has enough.

Over several relays that have no trusted node in common a message goes in shares: all but one are random, the last is
the message with all of them added (xor). Each node sees one share, and so nothing of the message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import reduce

from kms.errors import ExhaustedError, NoRouteError, SectionStoppedError, ShortOfKeyError
from kms.keys.key import UNCONSTRAINED, RelayKind, RoutingConstraint
from kms.qkdnet.disjoint_routing import Chain, DisjointnessKey, DisjointRouter, Link, LinkCosts
from kms.qkdnet.pad_account import FREE, PadAccount
from kms.qkdnet.topology import Traversal, crossing_directions
from kms.sources.agreement import AgreedKey
from kms.sources.qkd.post_processing import authentication
from kms.sources.qkd.protocol import Entropy
from kms.sources.qkd.section import Section, SectionState

# What a section gives in so many seconds counts like what it has in store.
HORIZON_S = 10.0
_WITHOUT_END = 1 << 40
_BETWEEN_ENDS = slice(1, -1)
_NOTHING_TAKEN: Mapping[str, int] = {}


class QkdNetwork:
    """The sections and the links over them: finds routes, and carries messages along them."""

    def __init__(
        self, sections: Mapping[str, Section], links: Sequence[Link], nodes: Mapping[str, str] | None = None
    ) -> None:
        """``nodes`` names the site of a QKD node that is not named like it."""
        self.sections = dict(sections)
        self.links = tuple(links)
        self._nodes = dict(nodes or {})
        self._traversals = {link.link_id: self._traversals_of(link) for link in links}
        self._router = DisjointRouter(links, self._touched)

    def _traversals_of(self, link: Link) -> tuple[Traversal, ...]:
        chain = [self.sections[section_id] for section_id in link.sections]
        directions = crossing_directions([(s.a, s.b) for s in chain], link.a, link.b)
        if directions is None:
            raise ValueError(f"QKD link {link.link_id}: its sections do not meet")
        return tuple(Traversal(section, is_forward) for section, is_forward in zip(chain, directions, strict=True))

    # State

    def is_link_usable(self, link: Link) -> bool:
        return all(self.sections[s].is_usable for s in link.sections)

    def is_link_unjudged(self, link: Link) -> bool:
        """Whether nobody knows yet what it gives: none of its sections is bad, and not all have been judged."""
        sections = [self.sections[name] for name in link.sections]
        is_any_unjudged = any(section.state is SectionState.STARTING for section in sections)
        return is_any_unjudged and not any(section.is_stopped for section in sections)

    def link_available_bits(self, link: Link) -> int:
        return self.route_available_bits((link,))

    def link_skr_bps(self, link: Link) -> float:
        return self.route_skr_bps((link,))

    def route_available_bits(self, chain: Sequence[Link]) -> int:
        """Bits that could be sent over the links now, tags not counted."""
        return min(self.sections[s].available_bits // n for s, n in _crossings(chain).items())

    def route_skr_bps(self, chain: Sequence[Link]) -> float:
        return min(self.sections[s].skr_bps / n for s, n in _crossings(chain).items())

    # Routing

    def are_joined(
        self, a: str, b: str, constraint: RoutingConstraint = UNCONSTRAINED, avoiding: Collection[str] = ()
    ) -> bool:
        """Whether links that meet the constraint join the sites, in whatever state, without sections ``avoiding``."""

        def bears(section: str) -> int:
            return 0 if section in avoiding else _WITHOUT_END

        return self._find(a, b, constraint, LinkCosts(lambda section: 1.0, bears)) is not None

    def routes(
        self, a: str, b: str, message_bytes: int, constraint: RoutingConstraint = UNCONSTRAINED,
        taken_bits: Mapping[str, int] = _NOTHING_TAKEN,
    ) -> tuple[Chain, ...]:  # fmt: skip
        """The links from ``a`` to ``b``, once for each relay: the cheapest by what their sections have in store and
        will have in HORIZON_S, over those with key for the message beside ``taken_bits``.

        When there are none: NoRouteError if stopped sections or missing links are the reason, ShortOfKeyError if
        waiting helps.
        """
        needed_bits = 8 * (message_bytes + authentication.ONE_TIME_KEY_BYTES)
        sections = self.sections

        def available_bits(name: str) -> int:
            return max(0, sections[name].available_bits - taken_bits.get(name, 0))

        def price(name: str) -> float:
            return 1e6 / (available_bits(name) + HORIZON_S * sections[name].skr_bps + 1)

        found = self._find(a, b, constraint, LinkCosts(price, lambda name: available_bits(name) // needed_bits))
        if found is None:
            why = self._why_no_route(a, b, constraint)
            if isinstance(why, ShortOfKeyError):
                self._ask_for_key(a, b, constraint, needed_bits)
            raise why
        return found

    def route(self, a: str, b: str, message_bytes: int, constraint: RoutingConstraint = UNCONSTRAINED) -> Chain:
        """The one of :meth:`routes` when there is one."""
        return self.routes(a, b, message_bytes, constraint)[0]

    def sustained_routes(
        self, a: str, b: str, constraint: RoutingConstraint, free_bps: Mapping[str, float], needed_bps: float
    ) -> tuple[Chain, ...]:
        """The routes that can bear ``needed_bps`` on every crossing for as long as it takes, of what each section has
        free; none when there are none. What is in store does not count, so they change with the rates alone.
        """

        def bears(name: str) -> int:
            free = free_bps.get(name, 0.0)
            return 0 if free <= 0 else _WITHOUT_END if needed_bps <= 0 else int(free / needed_bps + 1e-9)

        return self._find(a, b, constraint, LinkCosts(lambda name: 1e6 / free_bps[name], bears)) or ()

    def trusted_nodes(self, chain: Chain, start: str) -> tuple[str, ...]:
        """The QKD nodes between the ends of a route, in order."""
        path = self._path(chain, start)
        nodes = [_ends(path[0])[0], *(_ends(traversal)[1] for traversal in path)]
        return tuple(dict.fromkeys(nodes[_BETWEEN_ENDS]))

    def _find(self, a: str, b: str, constraint: RoutingConstraint, costs: LinkCosts) -> tuple[Chain, ...] | None:
        def is_allowed(link: Link) -> bool:
            return _is_allowed(link, a, b, constraint.route)

        return self._router.disjoint_chains(a, b, constraint.disjoint_relays, costs, is_allowed)

    def _touched(self, chain: Chain, start: str) -> DisjointnessKey:
        """What has a part of a message in the clear, or its ciphertext: sites, nodes, sections between the two ends."""
        path = self._path(chain, start)
        sites, site = {start}, start
        for link in chain:
            site = link.other_end(site)
            sites.add(site)
        # Links may meet in different rooms of a site.
        rooms = [end for traversal in path for end in _ends(traversal)][_BETWEEN_ENDS]
        places = sites | {self._nodes.get(room, room) for room in rooms}
        return DisjointnessKey(frozenset(places - {start, site}), frozenset(t.section.section_id for t in path))

    def _why_no_route(self, a: str, b: str, constraint: RoutingConstraint) -> ExhaustedError:
        apart = "" if constraint.disjoint_relays == 1 else f" by {constraint.disjoint_relays} disjoint relays"
        if not self.are_joined(a, b, constraint):
            return NoRouteError(f"no QKD links join {a} and {b}{apart}")
        stopped = {s.section_id for s in self.sections.values() if s.is_stopped}
        if not self.are_joined(a, b, constraint, avoiding=stopped):
            which = ", ".join(sorted(stopped))
            return NoRouteError(f"no usable QKD route from {a} to {b}{apart}: section {which} stopped")
        return ShortOfKeyError(f"no QKD route from {a} to {b}{apart} has enough key now")

    def _ask_for_key(self, a: str, b: str, constraint: RoutingConstraint, needed_bits: int) -> None:
        """Have the sections of a route that only lacks key make some first."""
        stopped = {s.section_id for s in self.sections.values() if s.is_stopped}
        costs = LinkCosts(lambda section: 1.0, lambda section: 0 if section in stopped else _WITHOUT_END)
        for chain in self._find(a, b, constraint, costs) or ():
            for section in (self.sections[name] for link in chain for name in link.sections):
                if section.available_bits < needed_bits:
                    section.ask_for_key()

    # Transport

    def require(
        self, a: str, messages: Sequence[tuple[str, int]], constraint: RoutingConstraint = UNCONSTRAINED
    ) -> None:
        """Whether ``messages``, of so many bytes to such a site each, could all be sent from ``a`` now.

        What :meth:`routes` raises when they could not: who sends several looks first, so that the first ones are not
        sent in vain.
        """
        taken: Counter[str] = Counter()
        for b, message_bytes in messages:
            for path in self.paths(a, b, message_bytes, constraint, taken):
                for traversal in path:
                    taken[traversal.section.section_id] += 8 * (message_bytes + authentication.ONE_TIME_KEY_BYTES)

    def send(
        self, shares: Sequence[bytes], a: str, b: str, constraint: RoutingConstraint = UNCONSTRAINED,
        account: PadAccount = FREE,
    ) -> tuple[bytes, int]:  # fmt: skip
        """The shares of a message (:func:`split_shares`, as many as ``constraint`` has relays), known at site ``a``,
        combined as they arrive at ``b``, and how many sections they crossed; each is debited to ``account``.

        Raises ExhaustedError (or a kind of it) with nothing debited, ExchangeError when a tag does not verify.
        """
        bytes_each = len(shares[0]) + authentication.ONE_TIME_KEY_BYTES
        paths = self.paths(a, b, len(shares[0]), constraint)
        for path in paths:
            self._require(path, bytes_each)
        account.debit(crossings_of(paths), 8 * bytes_each)
        arrived = [
            reduce(lambda text, hop: _cross(hop, text), path, share) for path, share in zip(paths, shares, strict=True)
        ]
        return combine_shares(arrived), sum(map(len, paths))

    def paths(
        self, a: str, b: str, message_bytes: int, constraint: RoutingConstraint = UNCONSTRAINED,
        taken_bits: Mapping[str, int] = _NOTHING_TAKEN,
    ) -> list[list[Traversal]]:  # fmt: skip
        """The crossings of each of :meth:`routes`, in order."""
        return [self._path(route, a) for route in self.routes(a, b, message_bytes, constraint, taken_bits)]

    def _path(self, links: Sequence[Link], start: str) -> list[Traversal]:
        site = start
        path: list[Traversal] = []
        for link in links:
            traversals = self._traversals[link.link_id]
            if site == link.a:
                path += traversals
            else:
                path += [Traversal(t.section, not t.is_forward) for t in reversed(traversals)]
            site = link.other_end(site)
        return path

    @staticmethod
    def _require(traversals: Sequence[Traversal], bytes_each: int) -> None:
        uses = Counter(t.section.section_id for t in traversals)
        for section in {t.section.section_id: t.section for t in traversals}.values():
            if not section.is_usable:
                raise SectionStoppedError(f"QKD section {section.section_id} is {section.state.value}")
            if section.available_bits < 8 * bytes_each * uses[section.section_id]:
                raise ShortOfKeyError(f"QKD section {section.section_id} has too little key left")


def crossings_of(paths: Sequence[Sequence[Traversal]]) -> Counter[str]:
    """How often the paths together cross each section."""
    return Counter(traversal.section.section_id for path in paths for traversal in path)


def _crossings(chain: Sequence[Link]) -> Counter[str]:
    """How often the links cross each section."""
    return Counter(section for link in chain for section in link.sections)


def _ends(traversal: Traversal) -> tuple[str, str]:
    """Where a crossing begins and where it ends."""
    section = traversal.section
    return (section.a, section.b) if traversal.is_forward else (section.b, section.a)


def _is_allowed(link: Link, a: str, b: str, route: RelayKind | None) -> bool:
    """Whether the link may be part of a route from ``a`` to ``b`` of that kind."""
    is_direct = {link.a, link.b} == {a, b} and len(link.sections) == 1
    return route is None or is_direct == (route is RelayKind.DIRECT)


def _cross(traversal: Traversal, message: bytes) -> bytes:
    """One hop: encrypt and tag with the near end's bits, check and decrypt with the far end's."""
    at_alice, at_bob = traversal.section.take(len(message) + authentication.ONE_TIME_KEY_BYTES)
    near, far = (at_alice, at_bob) if traversal.is_forward else (at_bob, at_alice)
    ciphertext = xor(message, near[: len(message)])
    tag = authentication.tag(near[len(message) :], ciphertext)
    authentication.check(far[len(message) :], ciphertext, tag, f"relay over section {traversal.section.section_id}")
    return xor(ciphertext, far[: len(message)])


def split_shares(message: bytes, count: int, entropy: Entropy) -> list[bytes]:
    """``count`` shares, all of which make up the message and no fewer of which say anything of it."""
    shares = [entropy(len(message)) for _ in range(count - 1)]
    return [*shares, combine_shares([message, *shares])]


def combine_shares(shares: Sequence[bytes]) -> bytes:
    return reduce(xor, shares)


def xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


class QkdSource:
    """The QKD key source: a key is drawn at one end and relayed to the other."""

    algorithm = "bb84-relay"

    def __init__(self, network: QkdNetwork, entropy: Entropy) -> None:
        self._network = network
        self._entropy = entropy

    def can_join(self, a: str, b: str, constraint: RoutingConstraint = UNCONSTRAINED) -> bool:
        return a != b and self._network.are_joined(a, b, constraint)

    def require(self, a: str, messages: Sequence[tuple[str, int]], constraint: RoutingConstraint) -> None:
        """See :meth:`QkdNetwork.require`."""
        self._network.require(a, messages, constraint)

    def carry(
        self, message: bytes, a: str, b: str, constraint: RoutingConstraint = UNCONSTRAINED, account: PadAccount = FREE
    ) -> tuple[bytes, int]:
        """``message`` as it arrives, and the sections that it crossed."""
        shares = split_shares(message, constraint.disjoint_relays, self._entropy)
        return self._network.send(shares, a, b, constraint, account)

    def agree(
        self, a: str, b: str, count: int, size_bits: int, constraint: RoutingConstraint = UNCONSTRAINED,
        account: PadAccount = FREE,
    ) -> list[AgreedKey]:  # fmt: skip
        length = size_bits // 8
        # All in one message: one tag for the lot.
        drawn = self._entropy(length * count)
        arrived, crossings = self.carry(drawn, a, b, constraint, account)
        places = range(0, length * count, length)
        return [
            AgreedKey(drawn[p : p + length], arrived[p : p + length], crossings, constraint.disjoint_relays)
            for p in places
        ]
