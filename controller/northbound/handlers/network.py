"""The network as the controller sees it."""

from __future__ import annotations

from http import HTTPStatus

from controller.monitoring.link_state import LinkMonitor
from controller.northbound.http.auth import Role
from controller.northbound.http.messages import Answer, Request, json_answer
from controller.northbound.http.operations import Operation, Reply
from controller.northbound.views.network import policy_view, switch_view, topology_view
from controller.northbound.views.sealing import cards_view
from controller.operations.slices.slice_service import SliceService


class NetworkHandlers:
    """Answers for ``/v1/topology`` and ``/v1/intended``."""

    def __init__(self, slices: SliceService, links: LinkMonitor) -> None:
        self._slices = slices
        self._links = links

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(
                "GET", "/v1/topology", "getTopology", "Sites, channels and QKD sections: states and reservations",
                self.show, (Reply(200, "The network", "Topology"),), is_conditional=True,
            ),
            Operation(
                "GET", "/v1/intended", "getIntended", "What every switch shall hold: rules, meters and groups",
                self.show_intended, (Reply(200, "By site", "Intended"),), role=Role.OPERATOR,
            ),
        )  # fmt: skip

    def show(self, request: Request) -> Answer:
        with self._slices.lock:
            model = self._slices.model
            broken = {c: f"spare {c}: {s.fault}" for c, s in model.spares.items() if s.fault}
            view = topology_view(model.network, self._slices.sections, {**self._links.faults, **broken})
            view |= {"encryption": model.encryption.value, "cards": cards_view(model)}
            view["policy"] = policy_view(model.policy)
        return json_answer(HTTPStatus.OK, view)

    def show_intended(self, request: Request) -> Answer:
        with self._slices.lock:
            model = self._slices.model
            items = {site: model.intended.at(site) for site in model.topology.site_names}
        switches = {site: switch_view(held) for site, held in items.items()}
        return json_answer(HTTPStatus.OK, {"switches": switches})
