"""Puts the parts together: a running KMS from its configuration, and its orderly end."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from aiohttp import web

from kms.admission.key_rate_reservations import Applications
from kms.admission.qkd_capacity import QkdSupply
from kms.admission.token_bucket import RequestThrottle
from kms.background.lease_expiry import expire_streams
from kms.background.link_watch import Watcher
from kms.background.pool_filler import PoolFiller, expire_keys
from kms.background.supervision import Supervisor, Work
from kms.background.upkeep import RunningSection, SectionRunner
from kms.config import KmsConfig, QkdExtension, SiteConfig, SourceExtension
from kms.delivery.key_delivery import KeyService
from kms.delivery.key_transport import EmbeddedTransport, KeyTransport
from kms.delivery.sae_registry import SaeRegistry
from kms.delivery.stream_service import KeyStreams
from kms.distributed.node import PeerAnswers, PeerConnections, sites_of_process
from kms.distributed.peer_rpc import PeerServer
from kms.errors import ConfigError, KmsError
from kms.event_log import EventLog
from kms.interfaces.admin import Admin
from kms.interfaces.admin_reservations import AdminApps
from kms.interfaces.etsi004 import Etsi004
from kms.interfaces.etsi014 import Etsi014Server
from kms.interfaces.listeners import KmeListeners, make_runner
from kms.interfaces.skip import Skip
from kms.keys.inventory import KeyInventory, PoolId
from kms.keys.key import Key, KeySource, Source
from kms.keys.ledger import Ledger
from kms.persistence.sqlite_store import Journal, KeyStore
from kms.pki.parties import issue_peer_certificate, load_party
from kms.pki.revocation import Revocations
from kms.pki.sae_register import SaeRegister, issued_saes
from kms.pki.tls import tls_context
from kms.qkdnet.disjoint_routing import Link
from kms.qkdnet.qkd_network import QkdNetwork, QkdSource
from kms.sources.agreement import Mechanism
from kms.sources.dh import DhSource
from kms.sources.exchange import Party
from kms.sources.extension_qkd import ExtensionMaker, line_view
from kms.sources.extension_source import ExtensionSource
from kms.sources.kems import choose_kem
from kms.sources.qkd.modes import Model
from kms.sources.qkd.pulse_budget import PulseBudget
from kms.sources.qkd.rate_model import RateMaker
from kms.sources.qkd.section import Distiller, KeyBuffer, KeyMaker, Section
from kms.sources.qra import QraSource
from kms.steady_clock import SteadyClock
from scripts.extensions.client import Worker
from scripts.extensions.errors import ExtensionError
from scripts.extensions.naming import Use
from scripts.extensions.protocols import Kind

_log = logging.getLogger(__name__)


class RunningKms:
    """A KMS that serves; :meth:`close` ends it."""

    def __init__(self, service: KeyService, listeners: KmeListeners, stack: contextlib.AsyncExitStack) -> None:
        self.service = service
        self.urls = listeners.urls  # base URL of each site's KME
        self._stack = stack

    async def close(self) -> None:
        await self._stack.aclose()


async def start(config: KmsConfig, site: str | None = None) -> RunningKms:
    """Bring up every KME of the configuration, or that of one ``site`` alone (the distributed form).

    Raises a :class:`KmsError` when the store, the certificates or another KMS stand in the way, and OSError when an
    address cannot be listened on; nothing is left running then.
    """
    here = sites_of_process(config, site)
    async with contextlib.AsyncExitStack() as stack:
        state_dir, admin_socket = Path(config.state_dir), Path(config.admin_socket)
        if site is not None:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            state_dir, admin_socket = state_dir / site, admin_socket.with_stem(f"{admin_socket.stem}-{site}")
        stack.enter_context(_sole_owner(state_dir))
        store = KeyStore(state_dir)
        journal = Journal(store)
        stack.push_async_callback(journal.close)

        directories = {
            each.site: issue_peer_certificate(config.pki_dir, each.site, each.kme_id, each.host) for each in here
        }  # fmt: skip
        revocations = Revocations(config.pki_dir)
        revocations.check()
        parties = _parties(config, directories, revocations, _source_extension(config, stack))
        algorithms = _algorithms(config, parties[here[0].site])
        sections, running_sections = _sections(config, _qkd_extension(config, stack))
        links = [Link(entry.id, entry.a, entry.b, entry.sections) for entry in config.qkd_links]
        peers: PeerConnections | None = None
        transport: KeyTransport
        if site is None:
            network = QkdNetwork(sections, links, config.nodes)
            transport = EmbeddedTransport(parties, QkdSource(network, os.urandom), time.time)
        else:
            peers = PeerConnections(config, here[0], parties[site], directories[site], sections, links)
            network, transport = peers.network, peers.transport
            running_sections = [each for each in running_sections if each.section.section_id in peers.sections.hosted]
            stack.push_async_callback(peers.close)
        quotas = {sae: quota.bits_per_s for sae, quota in config.quotas.items() if quota.bits_per_s is not None}
        applications = Applications(QkdSupply(network, time.monotonic), quotas, config.quota.bits_per_s)
        steady = SteadyClock()
        service = _service(config, store, journal, transport, applications, steady)
        filler = PoolFiller(service)
        permanent: dict[str, Work] = {
            "QKD sections": SectionRunner(running_sections).run,
            "pools": filler.run,
            "expiry of keys": lambda: expire_keys(service),
        }
        remote = None if peers is None else peers.streams
        streams = KeyStreams(
            service, applications, uuid.uuid4, steady, remote,
            lambda sae: config.quotas.get(sae, config.quota).stream_terms(), config.stream_lease_s,
        )  # fmt: skip
        permanent["leases of key streams"] = lambda: expire_streams(streams)
        if peers is not None:
            answers = PeerAnswers(peers, service, streams, steady)
            await _listen_to_peers(stack, config, here[0], directories[here[0].site], answers, revocations)
            permanent |= answers.background()

        asked = {sae: quota.requests_per_s for sae, quota in config.quotas.items() if quota.requests_per_s is not None}
        throttle = RequestThrottle(asked, config.quota.requests_per_s, time.monotonic)
        events = EventLog()
        configured = {each.site: list(each.sae_ids) for each in config.sites}

        def known_saes() -> list[str]:
            issued = [sae.sae_id for sae in issued_saes(config.pki_dir)]
            return [*issued, *(sae for saes in configured.values() for sae in saes)]

        kmes = {
            each.site: Etsi014Server(
                each.site, service, revocations, events=events,
                may_ask=throttle.may_ask,
                adapters=(Etsi004(each.site, streams), Skip(each.site, service, known_saes)),
            )
            for each in here
        }  # fmt: skip
        listeners = KmeListeners(config, kmes)
        stack.push_async_callback(listeners.close)
        for each in here:
            await listeners.start(each.site)

        apps = AdminApps(service, applications, network, events, lambda name: configured[name], steady)
        supervisor = Supervisor()
        stack.push_async_callback(supervisor.close)
        admin = Admin(service, network, kmes, listeners, algorithms, apps, supervisor.reports)
        await _listen_on_unix_socket(stack, admin.application(), admin_socket)

        watcher = Watcher(
            network, applications, lambda: service.inventory, config.limits.pool_target, events, time.time
        )  # fmt: skip
        for name, work in {**permanent, "watch on links and pools": watcher.run}.items():
            supervisor.start(name, work)
        _log.info("KMS serves %d KMEs, %d QKD sections, %s", len(kmes), len(network.sections), algorithms)
        return RunningKms(service, listeners, stack.pop_all())
    raise AssertionError("not reached")


def _source_extension(config: KmsConfig, stack: contextlib.AsyncExitStack) -> ExtensionSource | None:
    """The key source that is somebody else's code, in a process of its own. Raises ConfigError."""
    chosen = config.source_extension
    if chosen is None:
        return None
    return ExtensionSource(_worker(Kind.SOURCE, chosen, f"the keys of level {chosen.level}", stack), os.urandom)


def _qkd_extension(config: KmsConfig, stack: contextlib.AsyncExitStack) -> Worker | None:
    """What makes the key of QKD sections and is somebody else's code. Raises ConfigError."""
    chosen = config.qkd_extension
    return None if chosen is None else _worker(Kind.QKD, chosen, "the key of QKD sections", stack)


def _worker(kind: Kind, chosen: SourceExtension | QkdExtension, what: str, stack: contextlib.AsyncExitStack) -> Worker:
    worker = Worker(Use(kind, chosen.target, chosen.folder), chosen.deadline_s)
    stack.callback(worker.close)
    try:
        identity = worker.start()
    except ExtensionError as error:
        raise ConfigError(f"{kind.value}_extension", str(error)) from error
    _log.warning("%s gives %s: code of %s, SHA-256 %s, with the rights of this process",
                 identity, what, identity.source, identity.sha256)  # fmt: skip
    return worker


def _parties(
    config: KmsConfig,
    directories: Mapping[str, Path],
    revocations: Revocations,
    extension: ExtensionSource | None,
) -> dict[str, Party]:
    """The KMEs of this process as partners in key exchanges; ``directories`` has their certificates by site."""
    qra = QraSource(choose_kem(config.qra_kem))
    mechanisms: dict[Source, Mechanism] = {Source.DH: DhSource(config.dh_group), Source.QRA: qra}
    if extension is not None and config.source_extension is not None:
        mechanisms[Source(config.source_extension.level)] = extension
    kme_ids = {each.site: each.kme_id for each in config.sites}
    return {
        site: load_party(directory, site, kme_ids, mechanisms, config.kme_signature, revocations)
        for site, directory in directories.items()
    }


def _algorithms(config: KmsConfig, party: Party) -> dict[str, str]:
    """What does what in this KMS, for the operator."""
    exchanged = {source.value: mechanism.algorithm for source, mechanism in party.mechanisms.items()}
    return {Source.QKD.value: QkdSource.algorithm, **exchanged, "signature": config.kme_signature}


def _service(
    config: KmsConfig, store: KeyStore, journal: Journal, transport: KeyTransport, applications: Applications,
    steady: SteadyClock,
) -> KeyService:  # fmt: skip
    inventory = KeyInventory(
        config.limits.max_key_count, config.available_lifetime_s, config.awaiting_lifetime_s, transport.is_here
    )
    inventory.await_slaves(_delivered_by(steady(), store.load_keys()))
    for pair in config.pairs:
        if not (transport.is_here(pair.a) or transport.is_here(pair.b)):
            continue
        pool_id = PoolId(pair.a, pair.b, KeySource.parse(pair.key_source))
        near, far = (pair.a, pair.b) if transport.is_here(pair.a) else (pair.b, pair.a)
        if not transport.can_join(pool_id.source, near, far):
            raise ConfigError("pairs", f"nothing gives {pair.key_source} keys between {pair.a} and {pair.b}")
        inventory.open(pool_id)
    registry = SaeRegistry(
        configured={sae: site.site for site in config.sites for sae in site.sae_ids},
        remembered=store.load_homes(),
        sites=frozenset(site.site for site in config.sites),
        find_issued=SaeRegister(config.pki_dir).find,
    )
    return KeyService(
        kme_ids={site.site: site.kme_id for site in config.sites},
        limits=config.limits.limits(),
        default_source=KeySource.parse(config.default_key_source),
        registry=registry,
        transport=transport,
        inventory=inventory,
        ledger=Ledger(),
        journal=journal,
        entropy=os.urandom,
        clock=steady,
        applications=applications,
    )


def _delivered_by(now: float, keys: Iterable[Key]) -> Iterator[Key]:
    """The keys, none of them delivered later than ``now``: a clock that was ahead lets no key live longer."""
    for key in keys:
        delivery = key.known_delivery
        yield key if delivery.at <= now else replace(key, delivery=replace(delivery, at=now))


def _sections(config: KmsConfig, worker: Worker | None) -> tuple[dict[str, Section], list[RunningSection]]:
    sections: dict[str, Section] = {}
    running: list[RunningSection] = []
    now = time.monotonic()
    for entry in config.sections:
        channel = entry.channel()
        buffer = KeyBuffer(config.qkd.buffer_bits // 8)
        section = Section(
            entry.id, entry.a, entry.b, channel, buffer, entry.model, entry.protocol, restart_s=entry.restart_s
        )
        nature = np.random.default_rng(int.from_bytes(os.urandom(16), "big"))
        maker: KeyMaker
        chosen = config.qkd_extension
        if worker is not None and chosen is not None and chosen.makes(entry.id):
            maker = ExtensionMaker(worker, line_view(entry.id, entry.a, entry.b, entry.protocol, channel), os.urandom)
            section.extension, section.is_vouched = str(worker.identity), chosen.is_vouched
        elif entry.model is Model.FULL:
            maker = Distiller(channel, os.urandom, nature)
        else:
            maker = RateMaker(channel, entry.protocol, os.urandom, nature)
        budget = PulseBudget(channel.pulse_rate_hz, config.qkd.prefill_s, now)
        sections[entry.id] = section
        running.append(RunningSection(section, maker, budget))
    return sections, running


@contextlib.contextmanager
def _sole_owner(state_dir: Path) -> Iterator[None]:
    """Two KMSs on one store would give keys twice."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(state_dir / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise KmsError(f"{state_dir}: another KMS is running on it") from None
        yield


async def _listen_to_peers(
    stack: contextlib.AsyncExitStack, config: KmsConfig, site: SiteConfig, directory: Path, answers: PeerAnswers,
    revocations: Revocations,
) -> None:  # fmt: skip
    """Serve the KMEs of the other sites; ``directory`` has the certificate that ours shows them."""
    sites = {each.kme_id: each.site for each in config.sites if each.site != site.site}
    server = PeerServer(sites, answers.endpoints(), revocations.is_revoked)
    runner = await make_runner(server.application())
    stack.push_async_callback(runner.cleanup)
    tls = tls_context(directory / "cert.pem", directory / "key.pem", directory / "ca.pem")
    await web.TCPSite(runner, site.host, site.peer_port, ssl_context=tls, backlog=1024).start()


async def _listen_on_unix_socket(stack: contextlib.AsyncExitStack, app: web.Application, path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    runner = await make_runner(app)
    stack.push_async_callback(runner.cleanup)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A socket left by a KMS that was killed; a living one holds the lock of the state directory.
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    stack.callback(path.unlink, missing_ok=True)
    await web.SockSite(runner, listener).start()
