"""The baseline of ``bench failover``: Ryu's stock spanning-tree switch on the same network, carrying channel cut."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.files.results import new_file
from scripts.measure.errors import MeasurementError
from scripts.measure.places import places_in
from scripts.measure.polling import poll
from scripts.measure.probes.outage import measure_outage
from scripts.measure.probes.probers import Probers, new_token
from topologies import links
from topologies.datapath import has_netem, ovs_datapath
from topologies.net import ControllerAddress, EmulatedNetwork
from topologies.spec import Topology

PORT = 6653
INTERVAL_S = 0.02  # it takes every packet of an unknown way to the controller: at 1 kHz that holds up its BPDUs
CONVERGED_TIMEOUT_S = 150.0  # listening and learning take 15 s each (IEEE 802.1D), more than once after a change
OUTAGE_TIMEOUT_S = 150.0
# Ryu 4.34 expects a name that newer eventlets no longer have; eventlet takes up a pyOpenSSL that does not fit.
RUN_RYU = (
    "import sys; sys.modules['OpenSSL'] = None;"
    "import eventlet, eventlet.wsgi; eventlet.wsgi.ALREADY_HANDLED = object();"
    "from ryu.cmd.manager import main; main(sys.argv[1:])"
)


class _Hosts:
    """The part of a running system that the probers need."""

    def __init__(self, network: EmulatedNetwork) -> None:
        self.topology = network.topology
        self._network = network

    def popen(self, host: str, argv: list[str], **options: object) -> subprocess.Popen[bytes]:
        into = ["nsenter", "-t", str(self._network.pids[host]), "-n", "--"]
        return subprocess.Popen([*into, *argv], **options)  # type: ignore[call-overload, no-any-return]


def outage_ms(topology: Topology, log: Path) -> float:
    """How long the spanning tree takes to carry traffic again; about OUTAGE_TIMEOUT_S when it has not by then.

    It knows of no dark channels, and would use them like the others: it is given the network without them.
    """
    topology = replace(topology, channels=tuple(c for c in topology.channels if not c.dark))
    address = ControllerAddress("127.0.0.1", PORT, "tcp")
    with new_file(log) as new:
        output = new.open("wb")
    with output, EmulatedNetwork(topology, ovs_datapath(), has_netem(), address) as network:
        argv = [sys.executable, "-c", RUN_RYU, "ryu.app.simple_switch_stp_13", "--ofp-tcp-listen-port", str(PORT)]
        with subprocess.Popen(argv, stdout=output, stderr=output) as ryu:
            try:
                return _cut_when_converged(network)
            finally:
                ryu.terminate()
                try:
                    ryu.wait(5)
                except subprocess.TimeoutExpired:
                    ryu.kill()


def _cut_when_converged(network: EmulatedNetwork) -> float:
    topology = network.topology
    places = places_in(topology)
    source, destination = places.cell(0), places.core(0)
    with Probers(_Hosts(network), (source, destination)) as probers:  # type: ignore[arg-type]
        token, prober = new_token(), probers[source]
        ends: dict[str, Any] = {
            "source": topology.host(source).data_address,
            "destination": topology.host(destination).data_address,
        }
        first = prober.submit("first_reply", token=token, interval_s=0.1, timeout_s=CONVERGED_TIMEOUT_S, **ends)
        first.result(CONVERGED_TIMEOUT_S + 5)
        token = new_token()
        prober.call("ping", token=token, interval_s=INTERVAL_S, **ends)
        time.sleep(1.0)
        before = _sent_on(topology, source)
        time.sleep(1.0)
        after = _sent_on(topology, source)
        carrying = max(after, key=lambda channel: after[channel] - before[channel])
        replies = prober.call("ping_count", token=token)["last_sequence"]
        failed_at = time.monotonic()
        links.set_up(links.interfaces(topology, topology.channel(carrying)), up=False)
        time.sleep(1.0)
        if prober.call("ping_count", token=token)["last_sequence"] > replies + 0.9 / INTERVAL_S:
            raise MeasurementError(f"cutting {carrying} hit nothing")
        base = prober.call("ping_count", token=token)["last_sequence"]
        poll(lambda: bool(prober.call("ping_count", token=token)["last_sequence"] > base), OUTAGE_TIMEOUT_S)
        time.sleep(1.0)
        stream = prober.call("ping_stop", token=token)
    outage = measure_outage(stream["sent"], dict(stream["replies"]), failed_at)
    return outage.lost_ms


def _sent_on(topology: Topology, site: str) -> dict[str, int]:
    """Packets that the site's switch has sent on each of its channels."""
    # Of this process' own network namespace, which sysfs need not be.
    lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    sent = {name.strip(): int(counters.split()[9]) for name, _, counters in (line.partition(":") for line in lines)}
    return {channel.id: sent[topology.port_of(site, channel.id).interface] for channel in topology.channels_of(site)}
