"""What an extension of each kind must be: a class without arguments, or an object, with these attributes and methods.

``name`` is lower case letters, digits and hyphens; ``version`` is text of the author's; ``api`` is
:data:`scripts.extensions.api.EXTENSION_API` as it was when the extension was written.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from scripts.extensions.api import (
    AttackView,
    Block,
    ConnectionAsk,
    ConnectionLook,
    Effects,
    FaultAction,
    Forecast,
    Impact,
    LineView,
    NetworkView,
    ProbeSample,
    Route,
    SliceAsk,
    SlicePlan,
    SourceAnswer,
    SourceOffer,
    StepAction,
    SuiteVector,
    TimelineEvent,
    Verdict,
)


class Named(Protocol):
    """Every extension."""

    name: str
    version: str
    api: int


class PathComputation(Named, Protocol):
    """``pce``: paths for slices, and for connections that have lost theirs."""

    def plan(self, net: NetworkView, req: SliceAsk) -> SlicePlan | None:
        """Paths for the whole slice, or None: it does not fit."""

    def route(self, net: NetworkView, req: ConnectionAsk, avoid: tuple[str, ...]) -> Route | None:
        """A path for one connection that crosses none of the sites ``avoid``, or None: there is none."""


class HealingPolicy(Named, Protocol):
    """``healing``: what is done for connections that a failure has hit."""

    def decide(self, net: NetworkView, impacts: tuple[Impact, ...], now: float) -> tuple[Verdict, ...]:
        """One verdict about each connection; ``now`` in seconds on a clock that is never set."""


class KeySource(Named, Protocol):
    """``source``: how two KMEs come by a common secret, in one message each way.

    At which level its keys serve, ``dh`` or ``qra``, is the operator's to say. Texts are hexadecimal digits;
    ``entropy`` is 64 octets, fresh for each call.
    """

    def offer(self, entropy: str) -> SourceOffer:
        """Begin an exchange."""

    def answer(self, entropy: str, message: str) -> SourceAnswer:
        """Answer the message of an offer."""

    def finish(self, state: str, message: str) -> str:
        """The secret, of the state of the offer and the message of the answer."""


class CipherSuite(Named, Protocol):
    """``suite``: what seals and opens the tunnels' packets, an AEAD (RFC 5116) without state. Its name begins with x-.

    Keys have the length of the vectors' keys, 16 to 64 octets; a nonce has 12 and comes once for each key.
    """

    def vectors(self) -> tuple[SuiteVector, ...]:
        """Test vectors, one at least with a plaintext of 16 octets or more."""

    def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """The ciphertext, as long as the plaintext, and the integrity check value of 16 octets over all of it."""

    def open(self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes | None:
        """The plaintext; None when this is not what was sealed."""


class SectionModel(Named, Protocol):
    """``qkd``: what makes the key of QKD sections, one object for all of them.

    Each ``step`` is of the section, and under the attack, that ``rate`` was asked about last: it is asked before.
    """

    def rate(self, line: LineView, attack: AttackView) -> Forecast:
        """What this section will give under this attack; with ``fraction`` 0 nobody is there."""

    def step(self, dt_s: float, entropy: str) -> Block:
        """What ``dt_s`` seconds make: no more than the forecast.

        ``entropy`` is hexadecimal digits, fresh for each step: octets for all the key that the forecast says, and 64.
        """


class ScenarioFault(Named, Protocol):
    """``fault``: something that is done to a channel, a site or a QKD section, and undone again."""

    inverse: str  # what a scenario's ``do`` says to lift it
    element: str  # "channel", "site" or "QKD section"

    def effects(self, net: NetworkView, target: str) -> Effects:
        """What it does to the network while it lasts."""

    def apply(self, net: NetworkView, target: str) -> tuple[FaultAction, ...]:
        """What is to be done, in order."""

    def lift(self, net: NetworkView, target: str) -> tuple[FaultAction, ...]:
        """What undoes it, in order: afterwards the network is as it was before."""


class ScenarioStep(Named, Protocol):
    """``step``: an entry of a timeline that is no fault. ``target`` is what the entry names, or empty."""

    def run(self, net: NetworkView, connections: tuple[ConnectionLook, ...], target: str) -> tuple[StepAction, ...]:
        """What is to be done now, in order."""


class Metric(Named, Protocol):
    """``metric``: a figure of each repetition."""

    unit: str

    def measure(self, samples: tuple[ProbeSample, ...], events: tuple[TimelineEvent, ...]) -> float:
        """The figure in ``unit``: a finite number."""


@dataclass(frozen=True)
class Method:
    """What a method takes and gives, as types for :mod:`scripts.extensions.codec`."""

    takes: tuple[Any, ...]
    gives: Any


@dataclass(frozen=True)
class Contract:
    """What a kind of extension has: methods, and texts beside name and version."""

    purpose: str
    methods: dict[str, Method]
    texts: tuple[str, ...] = ()
    deadline_s: float = 5.0
    is_secret: bool = False
    """Whether what goes to and fro must be in no log: errors are told without their words."""


class Kind(Enum):
    """What can be extended. The value stands before the ``=`` of ``--use``."""

    PCE = "pce"
    HEALING = "healing"
    SOURCE = "source"
    SUITE = "suite"
    QKD = "qkd"
    FAULT = "fault"
    STEP = "step"
    METRIC = "metric"


_ON_TARGET = (NetworkView, str)
_ON_PACKET = (bytes, bytes, bytes, bytes)
CONTRACTS: dict[Kind, Contract] = {
    Kind.PCE: Contract(
        "path computation",
        {
            "plan": Method((NetworkView, SliceAsk), SlicePlan | None),
            "route": Method((NetworkView, ConnectionAsk, tuple[str, ...]), Route | None),
        },
        deadline_s=2.0,
    ),
    Kind.HEALING: Contract(
        "what is done after a failure",
        {"decide": Method((NetworkView, tuple[Impact, ...], float), tuple[Verdict, ...])},
        deadline_s=1.0,
    ),
    Kind.SOURCE: Contract(
        "where keys come from",
        {
            "offer": Method((str,), SourceOffer),
            "answer": Method((str, str), SourceAnswer),
            "finish": Method((str, str), str),
        },
        deadline_s=0.5,
        is_secret=True,
    ),
    Kind.SUITE: Contract(
        "how tunnels encrypt",
        {
            "vectors": Method((), tuple[SuiteVector, ...]),
            "seal": Method(_ON_PACKET, bytes),
            "open": Method(_ON_PACKET, bytes | None),
        },
    ),
    Kind.QKD: Contract(
        "what makes a QKD section's key",
        {"rate": Method((LineView, AttackView), Forecast), "step": Method((float, str), Block)},
        deadline_s=0.5,
        is_secret=True,
    ),
    Kind.FAULT: Contract(
        "a fault of scenarios",
        {
            "effects": Method(_ON_TARGET, Effects),
            "apply": Method(_ON_TARGET, tuple[FaultAction, ...]),
            "lift": Method(_ON_TARGET, tuple[FaultAction, ...]),
        },
        texts=("inverse", "element"),
    ),
    Kind.STEP: Contract(
        "a step of scenarios",
        {"run": Method((NetworkView, tuple[ConnectionLook, ...], str), tuple[StepAction, ...])},
    ),
    Kind.METRIC: Contract(
        "a figure of experiments",
        {"measure": Method((tuple[ProbeSample, ...], tuple[TimelineEvent, ...]), float)},
        texts=("unit",),
    ),
}
