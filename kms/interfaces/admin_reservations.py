"""The admin socket's part for key rates: reservations, the node's telemetry, and the stream of notifications.

Fields bear the names of ETSI GS QKD 015 v2.1.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from kms.admission.key_rate_reservations import Applications, AppQos, QkdApp
from kms.delivery.key_delivery import KeyService
from kms.errors import RequestError
from kms.event_log import EventLog, Notification
from kms.interfaces.admin_answers import ConflictError, NotThereError
from kms.interfaces.etsi015 import app_tree, node_tree
from kms.interfaces.request_bodies import StrictModel, load_json, parse_uuid, validate
from kms.keys.key import MAX_DISJOINT_RELAYS, KeySource, RoutingConstraint, Source
from kms.qkdnet.qkd_network import QkdNetwork

_KEEP_ALIVE_S = 15.0
_Rate = Annotated[float, Field(ge=0, le=1e12)]


class _QosBody(StrictModel):
    min_bandwidth: _Rate
    max_bandwidth: _Rate | None = None
    jitter: Annotated[float, Field(ge=0)] | None = None
    ttl: Annotated[float, Field(gt=0)] | None = None


class _AppBody(StrictModel):
    server_app_id: str
    client_app_id: Annotated[list[str], Field(min_length=1, max_length=64)]
    app_qos: _QosBody
    app_priority: Annotated[int, Field(ge=0, le=255)] = 1
    key_source: str | None = None
    app_id: str | None = None
    owner: Annotated[str, Field(max_length=64)] = ""
    disjoint_relays: Annotated[int, Field(ge=1, le=MAX_DISJOINT_RELAYS)] = 1


class _QosUpdate(StrictModel):
    app_qos: _QosBody
    app_priority: Annotated[int, Field(ge=0, le=255)] | None = None


class AdminApps:
    def __init__(
        self, service: KeyService, applications: Applications, network: QkdNetwork, events: EventLog,
        sae_ids_of: Callable[[str], list[str]], clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._service = service
        self._applications = applications
        self._network = network
        self._events = events
        self._sae_ids_of = sae_ids_of
        self._clock = clock

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/apps", self._list)
        app.router.add_post("/v1/apps", self._admit)
        app.router.add_post("/v1/apps/check", self._check)
        app.router.add_get("/v1/apps/{app}", self._show)
        app.router.add_patch("/v1/apps/{app}", self._change)
        app.router.add_delete("/v1/apps/{app}", self._release)
        app.router.add_get("/v1/nodes/{site}", self._node)
        app.router.add_get("/v1/events", self._follow)

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"qkd_app": [self._tree(app) for app in self._applications]})

    async def _admit(self, request: web.Request) -> web.Response:
        app = self._parse(await request.read())
        if self._applications.find(app.app_id) is not None:
            raise ConflictError(f"application {app.app_id} is there already")
        self._applications.admit(app, self._clock())
        self._events.tell(self._clock(), Notification.APPLICATION_NEW, qkd_app=self._tree(app))
        return web.json_response(self._tree(app), status=201)

    async def _check(self, request: web.Request) -> web.Response:
        """What admission would say, with nothing changed."""
        app = self._parse(await request.read())
        offer = self._applications.offer_bps(app)
        return web.json_response({"admitted": app.app_qos.min_bandwidth <= offer, "offer": {"min_bandwidth": offer}})

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self._tree(self._app(request)))

    async def _change(self, request: web.Request) -> web.Response:
        app = self._app(request)
        parsed = validate(_QosUpdate, load_json(await request.read()))
        priority = app.app_priority if parsed.app_priority is None else parsed.app_priority
        changed = replace(app, app_qos=_qos(parsed.app_qos), app_priority=priority)
        self._applications.admit(changed, self._clock())
        self._events.tell(self._clock(), Notification.APPLICATION_QOS_UPDATE, qkd_app=self._tree(changed))
        return web.json_response(self._tree(changed))

    async def _release(self, request: web.Request) -> web.Response:
        app = self._app(request)
        self._applications.release(app.app_id)
        self._events.tell(self._clock(), Notification.APPLICATION_DISCONNECTED, app_id=str(app.app_id))
        return web.Response(status=204)

    async def _node(self, request: web.Request) -> web.Response:
        site = request.match_info["site"]
        if site not in self._service.kme_ids:
            raise NotThereError(f"there is no site {site[:64]!r}")
        return web.json_response(node_tree(site, self._network, self._applications, self._sae_ids_of(site)))

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events, from the one after ``Last-Event-ID`` on, as long as the client stays."""
        # A client that has seen no event may send it empty: its last event ID is the empty string (HTML, 9.2.4).
        text = request.headers.get("Last-Event-ID") or request.query.get("after", "0")
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise RequestError("Last-Event-ID: the number of an event")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):  # the client has left
            await self._send_events(response, int(text))
        return response

    async def _send_events(self, response: web.StreamResponse, number: int) -> None:
        while True:
            more = self._events.changed()
            for event in self._events.since(number):
                number = event.number
                data = json.dumps(event.to_dict())
                await response.write(f"id: {number}\nevent: {event.kind.value}\ndata: {data}\n\n".encode())
            try:
                async with asyncio.timeout(_KEEP_ALIVE_S):
                    await more.wait()
            except TimeoutError:
                await response.write(b": still here\n\n")

    def reservations(self) -> list[dict[str, Any]]:
        """Who reserved what, how it stands, and the sections that one key of it crosses now."""
        return [
            {
                "app_id": str(app.app_id), "server_app_id": app.server_app_id, "client_app_id": list(app.client_app_id),
                "key_source": app.source.label, "min_bandwidth": app.app_qos.min_bandwidth,
                "app_status": self._applications.status(app).value, "disjoint_relays": app.constraint.disjoint_relays,
                "app_priority": app.app_priority, "owner": app.owner,
                "sections": list(self._applications.crossings(app)),
            }
            for app in self._applications
        ]  # fmt: skip

    def pairs(self) -> set[tuple[str, str]]:
        """Sites between which QKD keys are promised, in the order of their names."""
        return {
            (min(app.sites[0], site), max(app.sites[0], site))
            for app in self._applications
            for site in app.sites[1:]
            if Source.QKD in app.source.parts and site != app.sites[0]
        }

    def _tree(self, app: QkdApp) -> dict[str, Any]:
        return app_tree(app, self._network, self._applications)

    def _app(self, request: web.Request) -> QkdApp:
        try:
            app = self._applications.find(parse_uuid(request.match_info["app"]))
        except RequestError:
            app = None
        if app is None:
            raise NotThereError("there is no such application")
        return app

    def _parse(self, body: bytes) -> QkdApp:
        parsed = validate(_AppBody, load_json(body))
        try:
            source = KeySource.parse(parsed.key_source) if parsed.key_source else self._service.default_source
        except ValueError as error:
            raise RequestError(f"key_source: {error}") from None
        sites = []
        for sae in (parsed.server_app_id, *parsed.client_app_id):
            site = self._service.registry.site_of(sae) if self._service.registry.is_known(sae) else None
            if site is None:
                raise RequestError(f"nobody knows where SAE {sae[:64]!r} is")
            sites.append(site)
        app_id = parse_uuid(parsed.app_id, "app_id") if parsed.app_id else uuid.uuid4()
        clients = tuple(parsed.client_app_id)
        return QkdApp(
            app_id,
            parsed.server_app_id,
            clients,
            source,
            tuple(sites),
            _qos(parsed.app_qos),
            parsed.app_priority,
            RoutingConstraint(disjoint_relays=parsed.disjoint_relays),
            parsed.owner,
        )


def _qos(body: _QosBody) -> AppQos:
    """Without max_bandwidth an application may take twice what it is promised."""
    most = 2 * body.min_bandwidth if body.max_bandwidth is None else body.max_bandwidth
    try:
        return AppQos(body.min_bandwidth, most, body.jitter, body.ttl)
    except ValueError as error:
        raise RequestError(f"app_qos: {error}") from None
