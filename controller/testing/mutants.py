"""Controllers that are wrong on purpose, to prove that experiments notice. For tests of the tests; never for use.

The configuration's ``unsafe_mutation`` chooses one; the process then says so loudly, and ``/v1/healthz`` shows it. Each
is the real model with one decision spoilt, so that everything around it is what is used otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from controller.model.connection import Connection
from controller.model.latency import NOTHING_BESIDE_CHANNELS, LatencyModel
from controller.model.operator_policy import NO_POLICY, OperatorPolicy
from controller.model.path import Lane
from controller.model.reason import Reason
from controller.model.states import ConnectionState
from controller.pce.network import OverCommitted
from controller.pce.network_index import NetworkIndex
from controller.state.network_state import NetworkState
from topologies.spec import EncryptionMode, SecurityClass, Topology

log = logging.getLogger(__name__)


class _LowersSecurity(NetworkState):
    """From the first reroute on, it takes every channel for a quantum-safe one."""

    mutation = "lower-security-on-reroute"

    def drop_lanes(self, connection_id: str, lanes: Iterable[Lane]) -> Connection:
        best = SecurityClass.QKD
        channels = tuple(replace(c, security=best) for c in self.topology.channels)
        wavelengths = tuple(replace(w, security=best) for w in self.topology.wavelengths)
        self.network.index = NetworkIndex(
            replace(self.topology, channels=channels, wavelengths=wavelengths),
            self.policy.cost_profile,
            self.network.index.latency,
        )
        return super().drop_lanes(connection_id, lanes)


class _NeverReleases(NetworkState):
    """What a way that was left had reserved stays reserved, for nobody."""

    mutation = "never-release"

    def drop_lanes(self, connection_id: str, lanes: Iterable[Lane]) -> Connection:
        dropped = tuple(lanes)
        connection = super().drop_lanes(connection_id, dropped)
        for lane in dropped:
            owner = f"nobody after {connection_id}#{lane.generation}"
            try:
                self.network.reserve(owner, lane.route, connection.request.spec.reserved_kbps, 0)
            except OverCommitted:
                log.info("%s: nothing left to leak", owner)
        return connection


class _CallsEverythingActive(NetworkState):
    """What has no way left is called ACTIVE all the same."""

    mutation = "always-active"

    def set_state(self, connection_id: str, state: ConnectionState, reason: Reason | None = None) -> Connection:
        connection = super().set_state(connection_id, state, reason)
        if state is ConnectionState.DEGRADED:
            connection = super().set_state(connection_id, ConnectionState.ACTIVE)
        return connection


_MUTANTS = {mutant.mutation: mutant for mutant in (_LowersSecurity, _NeverReleases, _CallsEverythingActive)}
MUTATIONS = tuple(_MUTANTS)


def make_model(
    topology: Topology,
    mutation: str | None,
    forbidden_suites: frozenset[str] = frozenset(),
    extension_suites: frozenset[str] = frozenset(),
    encryption: EncryptionMode = EncryptionMode.HOST,
    policy: OperatorPolicy = NO_POLICY,
    latency: LatencyModel = NOTHING_BESIDE_CHANNELS,
) -> NetworkState:
    """The controller's model; one of :data:`MUTATIONS` is shouted about."""
    if mutation is None:
        return NetworkState(topology, forbidden_suites, extension_suites, encryption, policy, latency)
    log.critical("THIS CONTROLLER IS WRONG ON PURPOSE (unsafe_mutation: %s): for tests of experiments alone", mutation)
    return _MUTANTS[mutation](topology, forbidden_suites, extension_suites, encryption, policy, latency)
