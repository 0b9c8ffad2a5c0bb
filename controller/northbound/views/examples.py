"""Request bodies for the OpenAPI document that the running network can fulfil, by schema and what each shows."""

from __future__ import annotations

from typing import Any

from topologies.spec import Tier, Topology


def example_bodies(topology: Topology) -> dict[str, Any]:
    """Nothing where the topology has not got the sites for a slice of the papers' template."""
    cell = next((s.name for s in topology.sites if s.tier is Tier.CELL), None)
    core = next((s.name for s in topology.sites if s.tier is Tier.CORE), None)
    if cell is None or core is None:
        return {}
    batch = [_request("example-a", cell, core), _listed("example-b", cell, core)]
    return {
        "SliceRequest": {"small": _request("example", cell, core), "listed": _listed("example-l", cell, core)},
        "SlicePatch": {"small": {"connections": {"access": {"bandwidth_mbps": 2}}}},
        "BatchRequest": {"small": {"slices": batch}},
        "ReservationRequest": {"small": {"slice": _request("example-r", cell, core), "expires_in_s": 60}},
        "FeasibilityRequest": {
            "small": {"slice": _request("example-f", cell, core), "reserve": True, "expires_in_s": 60}
        },
    }


def _listed(name: str, source: str, destination: str) -> dict[str, Any]:
    """A slice without the template: here more comes down than goes up."""
    link = {"name": "link", "from": source, "to": destination, "security": "qra", "latency_ms": 50}
    return {
        "name": name,
        "sNSSAI": {"sst": 1},
        "connections": [{**link, "bandwidth_mbps": 0.5, "reverse_bandwidth_mbps": 1}],
    }


def _request(name: str, cell: str, core: str) -> dict[str, Any]:
    return {
        "name": name,
        "sNSSAI": {"sst": 1, "sd": "0000E1"},
        "cells": [cell],
        "compute": {"site": "auto", "vcpus": 1, "memory_gb": 1},
        "core": core,
        "connections": {
            "control": {"security": "dh", "bandwidth_mbps": 0.5, "latency_ms": 50},
            "access": {"security": "qra", "bandwidth_mbps": 1, "latency_ms": 50},
            "backhaul": {"security": "qra", "bandwidth_mbps": 1, "latency_ms": 50},
        },
    }
