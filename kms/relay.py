"""Trusted-node relay: a key is carried from site to site over QKD sections, one-time pad by one-time pad.

::

    site a                                                                       site b
    K --xor--> [section s1] --xor--> [section s2] --xor--> ... --xor--> [section sn] --> K
       pad s1 (Alice's)    pad s1 (Bob's), pad s2 (Alice's) ...                pad sn (Bob's)

Every node between two sections holds K in the clear for a moment: it is trusted. On each traversal of a section the
message takes as many bits of that section's key as it has, and the tag 256 more; a route that crosses a section twice
pays twice. Nothing is taken anywhere unless every section on the route has enough.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from kms.errors import ExhaustedError, NoRouteError, SectionStoppedError, ShortOfKeyError
from kms.keys import Route
from kms.sources.agreement import AgreedKey
from kms.sources.qkd import authentication
from kms.sources.qkd.protocol import Entropy
from kms.sources.qkd.section import Section, SectionState


@dataclass(frozen=True)
class Link:
    """Key transport between two sites over ``sections`` in this order from ``a`` to ``b``."""

    link_id: str
    a: str
    b: str
    sections: tuple[str, ...]


@dataclass(frozen=True)
class Traversal:
    """One section crossed once; ``is_forward`` from its Alice to its Bob."""

    section: Section
    is_forward: bool


def crossing_directions(chain: Sequence[tuple[str, str]], start: str, end: str) -> tuple[bool, ...] | None:
    """For sections in a row, given by their two nodes: whether each is crossed from its first node to its second.

    None when the sections are not a row. ``start`` and ``end`` are the link's sites; they decide where both
    directions would do, if they are nodes themselves (a site's QKD room need not be named like the site).
    """
    possible: list[tuple[bool, ...]] = []
    for first in (True, False):
        directions = [first]
        node = chain[0][1] if first else chain[0][0]
        for a, b in chain[1:]:
            if node not in (a, b):
                break
            directions.append(node == a)
            node = b if node == a else a
        else:
            possible.append(tuple(directions))
    if not possible:
        return None
    return max(possible, key=lambda directions: _ends_named(chain, directions, start, end))


def _ends_named(chain: Sequence[tuple[str, str]], directions: tuple[bool, ...], start: str, end: str) -> int:
    first = chain[0][0] if directions[0] else chain[0][1]
    last = chain[-1][1] if directions[-1] else chain[-1][0]
    return (first == start) + (last == end)


class QkdNetwork:
    """The sections and the links over them: finds routes, and carries messages along them."""

    def __init__(self, sections: Mapping[str, Section], links: Sequence[Link]) -> None:
        self.sections = dict(sections)
        self.links = tuple(links)
        self._traversals = {link.link_id: self._traversals_of(link) for link in links}
        self._links_at: dict[str, list[Link]] = {}
        for link in links:
            for site in (link.a, link.b):
                self._links_at.setdefault(site, []).append(link)

    def _traversals_of(self, link: Link) -> tuple[Traversal, ...]:
        chain = [self.sections[section_id] for section_id in link.sections]
        directions = crossing_directions([(s.a, s.b) for s in chain], link.a, link.b)
        if directions is None:
            raise ValueError(f"QKD link {link.link_id}: its sections do not meet")
        return tuple(Traversal(section, is_forward) for section, is_forward in zip(chain, directions, strict=True))

    # State

    def is_link_usable(self, link: Link) -> bool:
        return all(self.sections[s].is_usable for s in link.sections)

    def link_available_bits(self, link: Link) -> int:
        """Bits that could be sent over the link now, tags not counted."""
        uses = Counter(link.sections)
        return min(self.sections[s].available_bits // n for s, n in uses.items())

    def link_skr_bps(self, link: Link) -> float:
        uses = Counter(link.sections)
        return min(self.sections[s].skr_bps / n for s, n in uses.items())

    # Routing

    def are_joined(self, a: str, b: str, avoiding: Collection[str] = (), route: Route | None = None) -> bool:
        """Whether a chain of links joins the sites by ``route`` that crosses none of the sections ``avoiding``."""
        seen, waiting = {a}, [a]
        while waiting:
            for link in self._links_at.get(waiting.pop(), ()):
                if any(section in avoiding for section in link.sections) or not _is_allowed(link, a, b, route):
                    continue
                for site in (link.a, link.b):
                    if site not in seen:
                        seen.add(site)
                        waiting.append(site)
        return b in seen

    def route(self, a: str, b: str, message_bytes: int, route: Route | None = None) -> tuple[Link, ...]:
        """The links from ``a`` to ``b``: fewest section traversals, and among those the fullest bottleneck.

        Only links with key for the message count. When there is no route: NoRouteError if stopped sections or missing
        links are the reason, ShortOfKeyError if waiting helps.
        """
        needed_bits = 8 * (message_bytes + authentication.ONE_TIME_KEY_BYTES)
        # A heap entry is (traversals so far, -bottleneck bits, order of entry, site, links so far).
        order = itertools.count()
        heap: list[tuple[int, int, int, str, tuple[Link, ...]]] = [(0, -(1 << 62), next(order), a, ())]
        settled: set[str] = set()
        while heap:
            traversals, negative_bottleneck, _, site, path = heapq.heappop(heap)
            if site == b:
                return path
            if site in settled:
                continue
            settled.add(site)
            for link in self._links_at.get(site, ()):
                further = link.b if site == link.a else link.a
                available = self.link_available_bits(link)
                if further not in settled and available >= needed_bits and _is_allowed(link, a, b, route):
                    bottleneck = max(negative_bottleneck, -available)
                    longer = traversals + len(link.sections)
                    heapq.heappush(heap, (longer, bottleneck, next(order), further, (*path, link)))
        raise self._why_no_route(a, b, route)

    def _why_no_route(self, a: str, b: str, route: Route | None) -> ExhaustedError:
        if not self.are_joined(a, b, route=route):
            return NoRouteError(f"no QKD links join {a} and {b}")
        stopped = {s.section_id for s in self.sections.values() if s.state is SectionState.STOPPED}
        if not self.are_joined(a, b, avoiding=stopped, route=route):
            return NoRouteError(f"no usable QKD route from {a} to {b}: section {', '.join(sorted(stopped))} stopped")
        return ShortOfKeyError(f"no QKD route from {a} to {b} has enough key now")

    # Transport

    def carry(self, message: bytes, a: str, b: str) -> bytes:
        """``message``, known at site ``a``, as it arrives at ``b``: :meth:`send` by any route."""
        return self.send(message, a, b)[0]

    def send(self, message: bytes, a: str, b: str, route: Route | None = None) -> tuple[bytes, int]:
        """``message``, known at site ``a``, as it arrives at ``b``, and how many sections it crossed; each is debited.

        Raises ExhaustedError (or a kind of it) with nothing debited, ExchangeError when a tag does not verify.
        """
        traversals = self.path(a, b, len(message), route)
        self._require(traversals, len(message) + authentication.ONE_TIME_KEY_BYTES)
        for traversal in traversals:
            message = _cross(traversal, message)
        return message, len(traversals)

    def path(self, a: str, b: str, message_bytes: int, route: Route | None = None) -> list[Traversal]:
        """The crossings of :meth:`route`, in order."""
        return self._path(self.route(a, b, message_bytes, route), a)

    def _path(self, links: Sequence[Link], start: str) -> list[Traversal]:
        site = start
        path: list[Traversal] = []
        for link in links:
            traversals = self._traversals[link.link_id]
            if site == link.a:
                path += traversals
                site = link.b
            else:
                path += [Traversal(t.section, not t.is_forward) for t in reversed(traversals)]
                site = link.a
        return path

    @staticmethod
    def _require(traversals: Sequence[Traversal], bytes_each: int) -> None:
        uses = Counter(t.section.section_id for t in traversals)
        for section in {t.section.section_id: t.section for t in traversals}.values():
            if not section.is_usable:
                raise SectionStoppedError(f"QKD section {section.section_id} is {section.state.value}")
            if section.available_bits < 8 * bytes_each * uses[section.section_id]:
                raise ShortOfKeyError(f"QKD section {section.section_id} has too little key left")


def _is_allowed(link: Link, a: str, b: str, route: Route | None) -> bool:
    """Whether the link may be part of a route from ``a`` to ``b`` of that kind."""
    is_direct = {link.a, link.b} == {a, b} and len(link.sections) == 1
    return route is None or is_direct == (route is Route.DIRECT)


def _cross(traversal: Traversal, message: bytes) -> bytes:
    """One hop: encrypt and tag with the near end's bits, check and decrypt with the far end's."""
    at_alice, at_bob = traversal.section.take(len(message) + authentication.ONE_TIME_KEY_BYTES)
    near, far = (at_alice, at_bob) if traversal.is_forward else (at_bob, at_alice)
    ciphertext = xor(message, near[: len(message)])
    tag = authentication.tag(near[len(message) :], ciphertext)
    authentication.check(far[len(message) :], ciphertext, tag, f"relay over section {traversal.section.section_id}")
    return xor(ciphertext, far[: len(message)])


def xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


class QkdSource:
    """The QKD key source: a key is drawn at one end and relayed to the other."""

    algorithm = "bb84-relay"

    def __init__(self, network: QkdNetwork, entropy: Entropy) -> None:
        self._network = network
        self._entropy = entropy

    def can_join(self, a: str, b: str, route: Route | None = None) -> bool:
        return a != b and self._network.are_joined(a, b, route=route)

    def agree(self, a: str, b: str, count: int, size_bits: int, route: Route | None = None) -> list[AgreedKey]:
        length = size_bits // 8
        # All in one message: one tag for the lot.
        drawn = self._entropy(length * count)
        arrived, crossings = self._network.send(drawn, a, b, route)
        places = range(0, length * count, length)
        return [AgreedKey(drawn[p : p + length], arrived[p : p + length], crossings=crossings) for p in places]
