"""What can be read of the controller's state, part by part. Nothing that is read here can be changed through it."""

from __future__ import annotations

from collections.abc import Mapping

from controller.forwarding.label_quarantine import LabelQuarantine
from controller.forwarding.rules import PortMap
from controller.model.cards import CardPair, card_pairs
from controller.model.connection import Connection
from controller.model.connectivity import Finding
from controller.model.dark_channel import Spare
from controller.model.latency import NOTHING_BESIDE_CHANNELS, LatencyModel
from controller.model.operator_policy import NO_POLICY, OperatorPolicy
from controller.model.path import Lane, Route
from controller.model.slice_record import SliceRecord
from controller.pce.key_relay import FoundRelay
from controller.pce.network import Network
from controller.state.allocations import Allocations, LabelCounts, PortHolders, Retained
from controller.state.card_keys import CardKeys
from controller.state.install_stages import InstallStages, IntendedItems
from controller.state.key_allocations import KeyAllocations
from controller.state.observations import Observations
from controller.state.slice_registry import SliceRegistry
from topologies.spec import EncryptionMode, Topology


class StateReading:
    """The parts of the state, and what each of them says."""

    def __init__(
        self,
        topology: Topology,
        forbidden_suites: frozenset[str] = frozenset(),
        extension_suites: frozenset[str] = frozenset(),
        encryption: EncryptionMode = EncryptionMode.HOST,
        policy: OperatorPolicy = NO_POLICY,
        latency: LatencyModel = NOTHING_BESIDE_CHANNELS,
    ) -> None:
        self._topology = topology
        self._encryption, self._policy = encryption, policy
        self._cards = card_pairs(topology, encryption, policy.always)
        self._forbidden_suites, self._extension_suites = forbidden_suites, extension_suites
        self._network = Network(topology, policy.cost_profile, latency)
        self._registry = SliceRegistry()
        self._quarantine = LabelQuarantine(PortMap.of(topology))
        self._allocations = Allocations(self._network, self._quarantine)
        self._keys = KeyAllocations(self._network)
        self._card_keys = CardKeys(Network(topology), self._cards)
        self._stages = InstallStages(PortMap.of(topology), self._quarantine)
        self._observations = Observations(self._network)

    @property
    def topology(self) -> Topology:
        return self._topology

    @property
    def encryption(self) -> EncryptionMode:
        """What seals traffic here."""
        return self._encryption

    @property
    def policy(self) -> OperatorPolicy:
        """What the operator decides for all slices."""
        return self._policy

    @property
    def cards(self) -> tuple[CardPair, ...]:
        """The pairs of cards that seal wavelengths."""
        return self._cards

    @property
    def card_relays(self) -> Mapping[str, Route]:
        """By wavelength: over which QKD links its cards hold their key rate; without an entry none has it."""
        return self._card_keys.routes

    @property
    def forbidden_suites(self) -> frozenset[str]:
        """Cipher suites that no request may ask for."""
        return self._forbidden_suites

    @property
    def extension_suites(self) -> frozenset[str]:
        """Cipher suites that are extensions, which agents have been given."""
        return self._extension_suites

    @property
    def network(self) -> Network:
        """What is up and what is reserved, for path computation; to be changed by the parts of the state alone."""
        return self._network

    # --- slices and connections ----------------------------------------------------------------------------------

    @property
    def slices(self) -> Mapping[str, SliceRecord]:
        """By name."""
        return self._registry.slices

    @property
    def connections(self) -> Mapping[str, Connection]:
        """By id."""
        return self._registry.connections

    def slice(self, name: str) -> SliceRecord:
        """Raises UnknownSlice."""
        return self._registry.slice(name)

    def connections_of(self, name: str) -> tuple[Connection, ...]:
        """The connections of the slice's present form. Raises UnknownSlice."""
        return self._registry.connections_of(name)

    def everything_of(self, name: str) -> tuple[Connection, ...]:
        """As :meth:`connections_of`, and what is about to leave."""
        return self.connections_of(name) + self._registry.existing(self._allocations.leaving(name))

    # --- allocations ---------------------------------------------------------------------------------------------

    @property
    def labels(self) -> LabelCounts:
        return self._allocations.labels

    @property
    def client_ports(self) -> PortHolders:
        return self._allocations.ports

    @property
    def departures(self) -> int:
        """How many times switches have been told to let go of labels: for :meth:`confirm_comparison`."""
        return self._quarantine.mark

    @property
    def computing(self) -> frozenset[str]:
        """Slices that hold compute."""
        return self._allocations.computing

    @property
    def held_lanes(self) -> Mapping[str, tuple[Lane, ...]]:
        """Lanes whose labels are held, by connection: the current ones and, during a reroute, those being left."""
        return self._allocations.held_lanes

    @property
    def retained(self) -> Mapping[str, Retained]:
        """What a modification holds beside what its slice has now, by slice, until it is finished or undone."""
        return self._allocations.retained

    def kept_relay(self, connection_id: str) -> FoundRelay | None:
        """The relay to keep for a connection that moves, or that lost its way, while rates on it are unknown.

        None when there is none, and the keys' way is to be looked for.
        """
        return self._keys.kept_relay(self.connections[connection_id])

    # --- switches ------------------------------------------------------------------------------------------------

    @property
    def ports(self) -> PortMap:
        return self._stages.ports

    @property
    def intended(self) -> IntendedItems:
        """What the switches shall hold."""
        return self._stages.intended

    # --- observations --------------------------------------------------------------------------------------------

    def sites_of(self, connection: Connection) -> frozenset[str]:
        """Where switches shall hold something of it."""
        return self._stages.sites_of(connection)

    @property
    def silent(self) -> frozenset[str]:
        """Channels that are down by BFD alone: their carrier is there."""
        return self._observations.silent

    @property
    def doubted(self) -> frozenset[str]:
        """Channels to be avoided where there is a choice."""
        return self._observations.doubted

    @property
    def findings(self) -> Mapping[str, Finding]:
        """What the tunnels' probes say, by connection."""
        return self._observations.findings

    @property
    def conditions(self) -> Mapping[str, tuple[str, ...]]:
        """What is to be known of a connection beside its state, by connection."""
        return self._observations.conditions

    @property
    def switches_away(self) -> Mapping[str, float]:
        """Sites whose switch is not there, since when (steady clock, s)."""
        return self._observations.switches_away

    @property
    def spares(self) -> Mapping[str, Spare]:
        """What has become of each dark channel."""
        return self._observations.spares

    def is_passing(self, connection_id: str) -> bool:
        """Whether its probes pass: proof that its ways carry packets, whatever else is said of them."""
        return self._observations.is_passing(connection_id)

    def is_denied(self, connection_id: str) -> bool:
        """Whether there is evidence that it carries nothing."""
        return self._observations.is_denied(connection_id)
