"""Request bodies for the OpenAPI document that the running network can fulfil."""

from __future__ import annotations

from typing import Any

from topologies.spec import Tier, Topology


def example_bodies(topology: Topology) -> dict[str, Any]:
    """By schema; nothing where the topology has not got the sites for a slice."""
    cell = next((s.name for s in topology.sites if s.tier is Tier.CELL), None)
    core = next((s.name for s in topology.sites if s.tier is Tier.CORE), None)
    if cell is None or core is None:
        return {}
    request = _request("example", cell, core)
    return {
        "SliceRequest": request,
        "SlicePatch": {"connections": {"access": {"bandwidth_mbps": 2}}},
        "BatchRequest": {"slices": [_request("example-a", cell, core), _request("example-b", cell, core)]},
        "ReservationRequest": {"slice": _request("example-r", cell, core), "expires_in_s": 60},
        "FeasibilityRequest": {"slice": _request("example-f", cell, core), "reserve": True, "expires_in_s": 60},
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
