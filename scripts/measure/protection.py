"""What protection a network can give: measurements ask for no more, and say what they leave out. Pure.

Two ways that one cut takes are no protection, and the path computation refuses them. On a network with one fibre
between two sites, such as ukqntel, what asks for ``1:1`` or ``1+1`` there could not be made at all.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from controller.model.request import Protection
from controller.pce.computation import search_slice
from controller.pce.network import Network
from controller.schema.slice_request import parse_slice_request
from topologies.spec import Topology

PLENTY_MILLIBPS = 10**9  # keys are not what it is about


def protected_if_possible(topology: Topology, request: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The request of the papers' template with ``restoration`` where the empty network has no two ways, and where.

    The second value names the roles that have lost what they asked for.
    """
    network = Network(topology)
    for section in topology.sections:
        network.set_section(section.id, PLENTY_MILLIBPS, usable=True)
    asked = copy.deepcopy(dict(request))
    connections: dict[str, dict[str, Any]] = asked["connections"]
    wanted = {
        role: fields["protection"]
        for role, fields in connections.items()
        if Protection(fields.get("protection", Protection.RESTORATION.value)).has_backup
    }
    for role in wanted:
        connections[role]["protection"] = Protection.RESTORATION.value
    possible = {}
    for role, protection in wanted.items():
        alone = copy.deepcopy(asked)
        alone["connections"][role]["protection"] = protection
        if search_slice(network, parse_slice_request(alone)) is not None:
            possible[role] = protection
    for role, protection in possible.items():
        connections[role]["protection"] = protection
    return asked, tuple(role for role in wanted if role not in possible)
