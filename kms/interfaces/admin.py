"""The operator's side of the KMS: state, faults and metrics over HTTP on a unix socket that only its owner may open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Protocol

from aiohttp import web
from pydantic import Field

from kms.delivery.key_delivery import KeyService
from kms.errors import ExhaustedError, RequestError
from kms.interfaces.admin_answers import CannotListenError, NotThereError, answer_errors
from kms.interfaces.admin_reservations import AdminApps
from kms.interfaces.etsi014 import Etsi014Server
from kms.interfaces.etsi014_openapi import openapi_document
from kms.interfaces.listeners import KmeListeners
from kms.interfaces.prometheus import Sample, exposition
from kms.interfaces.request_bodies import StrictModel, load_json, validate
from kms.keys.inventory import PoolId, PoolState
from kms.keys.key import Source
from kms.qkdnet.disjoint_routing import Link
from kms.qkdnet.qkd_network import QkdNetwork
from kms.sources.qkd.link.attacks import NO_ATTACK, Attack
from kms.sources.qkd.modes import AttackKind
from kms.sources.qkd.section import Section, SectionState

_MAX_BODY_BYTES = 4_096


class _EavesdropBody(StrictModel):
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    attack: Annotated[AttackKind, Field(strict=False)] = AttackKind.INTERCEPT_RESEND


class PermanentTask(Protocol):
    """:class:`kms.background.supervision.TaskReport`, to whom it may concern."""

    @property
    def name(self) -> str: ...
    @property
    def is_running(self) -> bool: ...
    @property
    def restarts(self) -> int: ...
    @property
    def last_error(self) -> str: ...


class Admin:
    def __init__(
        self,
        service: KeyService,
        network: QkdNetwork,
        kmes: Mapping[str, Etsi014Server],
        listeners: KmeListeners,
        algorithms: Mapping[str, str],
        apps: AdminApps,
        permanent_tasks: Sequence[PermanentTask] = (),
    ) -> None:
        self._permanent_tasks = permanent_tasks
        self._apps = apps
        self._service = service
        self._network = network
        self._kmes = kmes
        self._listeners = listeners
        self._algorithms = algorithms

    def application(self) -> web.Application:
        app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[answer_errors])
        app.router.add_get("/v1/status", self._get_status)
        app.router.add_get("/v1/keys", self._get_keys)
        app.router.add_get("/v1/ledger", self._get_ledger)
        app.router.add_post("/v1/sections/{section}/eavesdrop", self._start_eavesdropping)
        app.router.add_delete("/v1/sections/{section}/eavesdrop", self._stop_eavesdropping)
        app.router.add_post("/v1/sections/{section}/cut", self._cut)
        app.router.add_delete("/v1/sections/{section}/cut", self._repair)
        app.router.add_delete("/v1/kmes/{site}/listener", self._stop_kme)
        app.router.add_post("/v1/kmes/{site}/listener", self._start_kme)
        self._apps.add_routes(app)
        app.router.add_get("/v1/openapi.json", self._get_openapi)
        app.router.add_get("/metrics", self._get_metrics)
        return app

    async def _get_status(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "kmes": [
                    {
                        "site": site,
                        "kme_id": kme_id,
                        "url": self._listeners.urls[site],
                        "listening": self._listeners.is_listening(site),
                    }
                    for site, kme_id in self._service.kme_ids.items()
                    if site in self._listeners.urls
                ],
                "algorithms": dict(self._algorithms),
                "default_key_source": self._service.default_source.label,
                "awaiting_keys": self._service.inventory.awaiting_count,
                "sections": {s.section_id: s.state.value for s in self._network.sections.values()},
                "background": [_task(each) for each in self._permanent_tasks],
            }
        )

    async def _get_keys(self, request: web.Request) -> web.Response:
        """All of it, or the ``parts`` that are named, with commas between: who asks often asks for what it needs."""
        parts: dict[str, Callable[[], Any]] = {
            "pools": lambda: [self._pool(pool_id) for pool_id in self._service.inventory.pool_ids],
            "awaiting_keys": lambda: self._service.inventory.awaiting_count,
            "sections": lambda: [_section(section) for section in self._network.sections.values()],
            "links": lambda: [self._link(link) for link in self._network.links],
            "routes": lambda: [self._route(a, b) for a, b in self._pairs()],
            "reservations": self._apps.reservations,
        }
        asked = request.query["parts"].split(",") if "parts" in request.query else list(parts)
        unknown = [name for name in asked if name not in parts]
        if unknown:
            raise RequestError(f"parts: {unknown[0][:64]!r} is none of {', '.join(parts)}")
        return web.json_response({name: parts[name]() for name in asked})

    def _link(self, link: Link) -> dict[str, Any]:
        rate_bps = None if self._network.is_link_unjudged(link) else round(self._network.link_skr_bps(link), 1)
        return {
            "id": link.link_id,
            "a": link.a,
            "b": link.b,
            "sections": list(link.sections),
            "usable": self._network.is_link_usable(link),
            "skr_bps": rate_bps,
            "available_bits": self._network.link_available_bits(link),
        }

    def _pairs(self) -> list[tuple[str, str]]:
        """The sites between which QKD keys are kept or promised."""
        pairs = {pool_id.sites for pool_id in self._service.inventory.pool_ids if Source.QKD in pool_id.source.parts}
        return sorted(pairs | self._apps.pairs())

    def _route(self, a: str, b: str) -> dict[str, Any]:
        """Which way a key between the sites would be relayed now, and what there is on it."""
        try:
            chain = self._network.route(a, b, 0)
        except ExhaustedError as error:
            return {"a": a, "b": b, "usable": False, "reason": str(error), "links": [], "sections": [], "nodes": [],
                    "skr_bps": 0.0, "available_bits": 0}  # fmt: skip
        return {
            "a": a,
            "b": b,
            "usable": True,
            "reason": "",
            "links": [link.link_id for link in chain],
            "sections": [section for link in chain for section in link.sections],
            "nodes": list(self._network.trusted_nodes(chain, a)),
            "skr_bps": round(self._network.route_skr_bps(chain), 1),
            "available_bits": self._network.route_available_bits(chain),
        }

    def _pool(self, pool_id: PoolId) -> dict[str, Any]:
        stored = self._service.inventory.stored(pool_id)
        return {
            "a": pool_id.a,
            "b": pool_id.b,
            "source": pool_id.source.label,
            "stored": stored,
            "state": PoolState.of(stored, self._service.limits.pool_target).value,
            "max": self._service.limits.max_key_count,
            "key_size": self._service.limits.key_size,
        }

    async def _get_ledger(self, request: web.Request) -> web.Response:
        return web.json_response({"entries": [each for entry in self._service.ledger for each in entry.to_dicts()]})

    async def _get_openapi(self, request: web.Request) -> web.Response:
        return web.json_response(openapi_document(self._service.limits))

    async def _start_eavesdropping(self, request: web.Request) -> web.Response:
        section = self._section(request)
        body = await request.read()
        asked = validate(_EavesdropBody, load_json(body) if body.strip() else {})
        section.attack = Attack(asked.attack, asked.fraction)
        return web.json_response(_section(section))

    async def _stop_eavesdropping(self, request: web.Request) -> web.Response:
        section = self._section(request)
        section.attack = NO_ATTACK
        return web.json_response(_section(section))

    async def _cut(self, request: web.Request) -> web.Response:
        return self._cut_or_repair(request, Section.cut)

    async def _repair(self, request: web.Request) -> web.Response:
        return self._cut_or_repair(request, Section.mend)

    def _cut_or_repair(self, request: web.Request, change: Callable[[Section], None]) -> web.Response:
        section = self._section(request)
        change(section)
        return web.json_response(_section(section))

    def _section(self, request: web.Request) -> Section:
        name = request.match_info["section"]
        section = self._network.sections.get(name)
        if section is None:
            raise NotThereError(f"there is no section {name[:64]!r}")
        return section

    async def _stop_kme(self, request: web.Request) -> web.Response:
        site = self._site(request)
        return web.json_response({"site": site, "listening": False, "changed": await self._listeners.stop(site)})

    async def _start_kme(self, request: web.Request) -> web.Response:
        site = self._site(request)
        try:
            changed = await self._listeners.start(site)
        except OSError as error:
            raise CannotListenError(f"the KME of {site} cannot listen: {error}") from error
        return web.json_response({"site": site, "listening": True, "changed": changed})

    def _site(self, request: web.Request) -> str:
        site = request.match_info["site"]
        if not self._listeners.has_site(site):
            raise NotThereError(f"there is no KME at {site[:64]!r}")
        return site

    async def _get_metrics(self, request: web.Request) -> web.Response:
        text = exposition(self._samples())
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    def _samples(self) -> list[Sample]:
        inventory = self._service.inventory
        samples = [
            Sample(
                "qslice_kms_ledger_entries_total", "counter", "Keys delivered, fetched and expired.", count,
                {"event": event.value, "key_source": source, "site": site or ""},
            )
            for (event, source, site), count in sorted(self._service.ledger.counts().items(), key=str)
        ]  # fmt: skip
        for site, kme in self._kmes.items():
            samples += [
                Sample(
                    "qslice_kms_requests_total", "counter", "ETSI 014 requests answered.", count,
                    {"site": site, "method": method, "status": str(status)},
                )
                for (method, status), count in sorted(kme.answers.items())
            ]  # fmt: skip
        samples.append(
            Sample("qslice_kms_awaiting_keys", "gauge", "Delivered keys not yet fetched.", inventory.awaiting_count)
        )
        samples += [
            Sample(
                "qslice_kms_pool_keys", "gauge", "Keys ready in a pool.", inventory.stored(pool_id),
                {"a": pool_id.a, "b": pool_id.b, "key_source": pool_id.source.label},
            )
            for pool_id in inventory.pool_ids
        ]  # fmt: skip
        samples += [
            Sample(
                "qslice_kms_background_restarts_total", "counter", "How often permanent work had to begin anew.",
                task.restarts, {"task": task.name},
            )
            for task in self._permanent_tasks
        ]  # fmt: skip
        for section in self._network.sections.values():
            labels = {"section": section.section_id}
            samples += [
                Sample(f"qslice_qkd_section_{name}", "gauge", meaning, value, labels)
                for name, meaning, value in (
                    ("active", "1 when the section gives key.", float(section.is_usable)),
                    ("qber", "Quantum bit error rate, 0 to 1; none before it is measured.", section.qber),
                    ("skr_bps", "Sustainable secret bits per second; none before the first judgement.", _rate(section)),
                    ("available_bits", "Secret bits in store.", float(section.available_bits)),
                )
                if value is not None
            ]
            samples += [
                Sample(
                    "qslice_qkd_section_refusals_total", "counter", "What an extension said and was not believed.",
                    count, {**labels, "code": code},
                )
                for code, count in section.refusals.items()
            ]  # fmt: skip
        return samples


def _task(task: PermanentTask) -> dict[str, Any]:
    return {
        "task": task.name,
        "running": task.is_running,
        "restarts": task.restarts,
        "last_error": task.last_error,
    }


def _rate(section: Section) -> float | None:
    """Bit/s; None while nobody has judged the section: what it gives is not known then."""
    return None if section.state is SectionState.STARTING else round(section.skr_bps, 1)


def _section(section: Section) -> dict[str, Any]:
    return {
        "id": section.section_id,
        "a": section.a,
        "b": section.b,
        "length_km": section.channel.length_km,
        "state": section.state.value,
        "qber": None if section.qber is None else round(section.qber, 5),
        "skr_bps": _rate(section),
        "available_bits": section.available_bits,
        "eavesdropped_fraction": section.attack.fraction,
        "attack": section.attack.kind.value if section.attack.fraction > 0 else None,
        "protocol": section.protocol.value,
        "model": section.extension or section.model.value,
        "secure": section.is_secure,
        "refusals": dict(section.refusals),
        "stop_reason": "" if section.stop_reason is None else section.stop_reason.value,
        "cut": section.is_cut,
        "restart_s": section.restart_s,
    }
