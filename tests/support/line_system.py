"""A stand-in for the running system with a real data plane: three sites in a row, two slices of one connection each.

Namespaces, veth pairs and Open vSwitch bridges are real, so what the demo measures on them is measured; the northbound
API, the healing and the rekey counters are made up here.

    left ==(l1 qkd, l2 qkd, l3 none)== mid ==(m1 qkd, m3 none)== right

``alpha/left-control`` (qkd, through an XOR tunnel) and ``beta/left-compute`` (none), both from left to right.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from pathlib import Path

from scripts.testbed.taps import Tap
from topologies.spec import Channel, SecurityClass, Site, Tier, Topology, Wavelength

PREFIX = "qdt"
SITES = ("left", "mid", "right")
NONE, QKD = SecurityClass.NONE, SecurityClass.QKD
CHANNELS = (
    ("l1", "left", "mid", QKD), ("l2", "left", "mid", QKD), ("l3", "left", "mid", NONE),
    ("m1", "mid", "right", QKD), ("m3", "mid", "right", NONE),
)  # fmt: skip
REQUESTS = (
    {"name": "alpha", "connections": {"control": {"security": "qkd", "bandwidth_mbps": 2}}},
    {"name": "beta", "connections": {"access": {"security": "none", "bandwidth_mbps": 2}}},
)
XOR_TUNNEL = Path(__file__).with_name("xor_tunnel.py")


def line_topology() -> Topology:
    return Topology(
        "line",
        tuple(Site(s, Tier.METRO, x=0.1 + 0.4 * n, y=0.5) for n, s in enumerate(SITES)),
        tuple(Wavelength(f"w-{c}", security) for c, _, _, security in CHANNELS),
        tuple(
            Channel(c, a, b, f"w-{c}", security, 100.0, 1.0, frozenset({f"w-{c}"})) for c, a, b, security in CHANNELS
        ),
        description="three sites in a row, for tests",
    )


def sh(command: str) -> str:
    done = subprocess.run(command.split(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip()}")
    return done.stdout


class LineSystem:
    """``plaintext``: alpha goes in the clear; ``leaky``: the fabric looks at destinations alone, the tunnel at nothing;
    ``heal_with``: the channel that replaces l1 (None: nothing does), ``heal_after_s`` after the cut."""

    def __init__(
        self,
        *,
        plaintext: bool = False,
        leaky: bool = False,
        heal_with: str | None = "l2",
        heal_after_s: float = 0.05,
        rekey_s: float = 0.2,
    ) -> None:
        self.topology = line_topology()
        self.datapath = "netdev"
        self._plaintext, self._leaky = plaintext, leaky
        self._heal_with, self._heal_after_s, self._rekey_s = heal_with, heal_after_s, rekey_s
        self._slices: dict[str, dict] = {}
        self._undo = contextlib.ExitStack()
        self._tunnels: list[subprocess.Popen] = []
        self._timer: threading.Timer | None = None
        self._since = time.monotonic()

    # Bringing up and taking down

    def __enter__(self) -> LineSystem:
        try:
            self._build()
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.join()
        self._stop_tunnels()
        self._undo.close()

    def _build(self) -> None:
        for number, site in enumerate(SITES, start=1):
            namespace, bridge, port = f"{PREFIX}-{site}", f"{PREFIX}-{site}", f"{PREFIX}h{number}"
            sh(f"ip netns add {namespace}")
            self._undo.callback(sh, f"ip netns del {namespace}")
            sh(f"ovs-vsctl add-br {bridge} -- set bridge {bridge} datapath_type=netdev fail_mode=secure")
            self._undo.callback(sh, f"ovs-vsctl --if-exists del-br {bridge}")
            sh(f"ip link add {port} type veth peer name data0 netns {namespace}")
            self._undo.callback(sh, f"ip link del {port}")  # a namespace gives its interfaces back some time later
            inside = f"ip -n {namespace}"
            sh(f"{inside} link set data0 address {self._mac(number)}")
            sh(f"{inside} addr add 172.20.0.{number}/24 dev data0")
            sh(f"{inside} link set data0 up")
            sh(f"{inside} link set lo up")
            sh(f"ip netns exec {namespace} ethtool -K data0 tx off")
            self._plug(bridge, port, 1)
            for peer, _ in enumerate(SITES, start=1):
                if peer != number:
                    sh(f"{inside} neigh add 172.20.0.{peer} lladdr {self._mac(peer)} dev data0 nud permanent")
        for number, (channel, a, b, _) in enumerate(CHANNELS, start=2):
            left, right = self.channel_interfaces(channel)
            sh(f"ip link add {left} type veth peer name {right}")
            self._undo.callback(sh, f"ip link del {left}")
            self._plug(f"{PREFIX}-{a}", left, number)
            self._plug(f"{PREFIX}-{b}", right, number)

    @staticmethod
    def _mac(number: int) -> str:
        return f"02:51:54:00:00:0{number}"

    @staticmethod
    def _plug(bridge: str, port: str, number: int) -> None:
        sh(f"sysctl -qw net.ipv6.conf.{port}.disable_ipv6=1")
        sh(f"ip link set {port} up")
        sh(f"ovs-vsctl add-port {bridge} {port} -- set interface {port} ofport_request={number}")

    # The System interface

    def popen(self, host, argv, **kwargs):
        return subprocess.Popen(["ip", "netns", "exec", f"{PREFIX}-{host}", *argv], **kwargs)

    def run(self, host, argv, timeout_s=30.0):
        command = ["ip", "netns", "exec", f"{PREFIX}-{host}", *argv]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)

    def channel_interfaces(self, channel_id):
        return f"{PREFIX}{channel_id}a", f"{PREFIX}{channel_id}b"

    def tap_of(self, channel_id):
        return Tap(self.channel_interfaces(channel_id)[0])

    def key_changes_of(self, channel_id):
        return None

    def tunnel_stats(self, host):
        if host == "mid" or "alpha" not in self._slices or self._plaintext:
            return {}
        rekeys = int((time.monotonic() - self._since) / self._rekey_s)
        return {"alpha/left-control": {"rekeys": rekeys, "key_source": "qkd"}}

    def link_down(self, channel_id):
        for interface in self.channel_interfaces(channel_id):
            sh(f"ip link set {interface} down")
        if self._heal_with:
            self._timer = threading.Timer(self._heal_after_s, self._reroute, (channel_id, self._heal_with))
            self._timer.start()

    def link_up(self, channel_id):
        for interface in self.channel_interfaces(channel_id):
            sh(f"ip link set {interface} up")

    def api(self, method, path, body=None):
        name = path.removeprefix("/v1/slices").strip("/")
        if method == "POST":
            return 201, self._create(body)
        if path == "/v1/topology":
            reserved = 2.0 if self._slices else 0.0
            return 200, {"channels": [{"id": c.id, "reserved_mbps": reserved} for c in self.topology.channels]}
        if not name:
            return 200, {"slices": list(self._slices.values())}
        if name not in self._slices:
            return 404, {"title": "Not found", "detail": f"no slice {name}"}
        if method == "DELETE":
            self._delete(name)
            return 204, {}
        return 200, self._slices[name]

    # What the made-up controller does

    def _create(self, request):
        name = request["name"]
        pair = REQUESTS.index(request) if request in REQUESTS else 0
        connection = {
            "name": "left-control" if name == "alpha" else "left-compute",
            "role": "control" if name == "alpha" else "access", "src": "left", "dst": "right",
            "src_address": f"10.200.0.{2 * pair}", "dst_address": f"10.200.0.{2 * pair + 1}",
            "required": "qkd" if name == "alpha" else "none", "key_source": "qkd" if name == "alpha" else "none",
            "path": ["l1", "m1"] if name == "alpha" else ["l3", "m3"], "state": "active",
        }  # fmt: skip
        self._slices[name] = {"name": name, "state": "active", "connections": [connection], "timings_ms": {}}
        self._program(name)
        ends = ("left", connection["src_address"], connection["dst_address"], 1, 3)
        other = ("right", connection["dst_address"], connection["src_address"], 3, 1)
        for site, local, peer, own, far in (ends, other):
            if name == "alpha" and not self._plaintext:
                argv = [sys.executable, "-I", "-S", str(XOR_TUNNEL), "q0", local, peer]
                argv += [f"172.20.0.{own}", f"172.20.0.{far}", "20000", "0" if self._leaky else "1"]
                tunnel = self.popen(site, argv, stdout=subprocess.PIPE)
                self._tunnels.append(tunnel)
                assert tunnel.stdout is not None
                assert tunnel.stdout.readline() == b"ready\n"
            else:
                inside = f"ip -n {PREFIX}-{site}"
                sh(f"{inside} addr add {local}/32 dev data0")
                sh(f"{inside} route add {peer}/32 dev data0 src {local}")
                sh(f"{inside} neigh add {peer} lladdr {self._mac(far)} dev data0 nud permanent")
        return self._slices[name]

    def _program(self, name):
        """The flows of a slice, both ways, by what identifies it: the tunnel's port or the addresses."""
        connection = self._slices[name]["connections"][0]
        first, second = (2 + next(n for n, c in enumerate(CHANNELS) if c[0] == hop) for hop in connection["path"])
        a, b = connection["src_address"], connection["dst_address"]
        tunnelled = name == "alpha" and not self._plaintext
        there = "udp,tp_dst=20000" if tunnelled else f"ip,nw_src={a},nw_dst={b}"
        back = "udp,tp_dst=20000" if tunnelled else f"ip,nw_src={b},nw_dst={a}"
        if self._leaky and not tunnelled:
            there, back = f"ip,nw_dst={b}", f"ip,nw_dst={a}"
        for site, way in (("left", (1, first)), ("mid", (first, second)), ("right", (second, 1))):
            for match, (enter, leave) in ((there, way), (back, way[::-1])):
                rule = f"priority=10,in_port={enter},{match},actions=output:{leave}"
                sh(f"ovs-ofctl add-flow {PREFIX}-{site} {rule}")

    def _reroute(self, old, new):
        for name, entry in self._slices.items():
            connection = entry["connections"][0]
            if old in connection["path"]:
                connection["path"] = [new if hop == old else hop for hop in connection["path"]]
                self._program(name)

    def _delete(self, name):
        del self._slices[name]
        if name == "alpha":
            self._stop_tunnels()

    def _stop_tunnels(self):
        for tunnel in self._tunnels:
            tunnel.terminate()
            tunnel.wait()
            if tunnel.stdout:
                tunnel.stdout.close()
        self._tunnels.clear()
