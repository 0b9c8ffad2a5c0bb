"""What this machine can do, found out by trying it, and what QSlice does where it cannot.

Kernel features are tried in a network namespace that ends with the trial, so nothing is left behind. A probe takes
`run`, which runs a command: tests pass a kernel of their own making.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from topologies.genetlink import GenetlinkError, family_id
from topologies.machine import MANAGEMENT_NETWORK, ROOT_MANAGEMENT_INTERFACE, foreign_route, refused_settings

_TIMEOUT_S = 20.0
_TOOLS = ("ip", "tc", "ping", "ethtool", "iperf3", "tcpdump", "tshark", "unshare")
_MODULES = ("mininet", "ryu", "aiohttp", "cryptography", "numpy", "pqcrypto", "scapy")


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    """Exit status; 127 where the command could not be run, 124 where it did not end in time."""
    output: str
    """Standard output and error together."""

    @property
    def is_success(self) -> bool:
        return self.status == 0

    @property
    def reason(self) -> str:
        """The first line that says something."""
        return next((line.strip() for line in self.output.splitlines() if line.strip()), f"exit status {self.status}")


Run = Callable[[Sequence[str]], Outcome]


@dataclass(frozen=True)
class Finding:
    """What a probe saw."""

    is_present: bool
    detail: str


@dataclass(frozen=True)
class Probe:
    """A capability and how to find out about it."""

    id: str
    what: str
    look: Callable[[Run], Finding]
    instead: str
    """What is done where it is missing; for a required one, how to get it."""
    is_required: bool = False


@dataclass(frozen=True)
class Capability:
    """A row of the doctor's table."""

    id: str
    what: str
    is_present: bool
    is_required: bool
    detail: str
    instead: str
    """Empty where the capability is present."""


def run_command(argv: Sequence[str]) -> Outcome:
    """Run a command to its end, without a standard input and in the C locale."""
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except OSError as error:
        return Outcome(127, f"{argv[0]}: {error.strerror}")
    except subprocess.TimeoutExpired:
        return Outcome(124, f"{argv[0]}: no answer in {_TIMEOUT_S:.0f} s")
    return Outcome(done.returncode, done.stdout)


# -- what the runtime and the tests ask ---------------------------------------------------------


def is_root() -> bool:
    return os.geteuid() == 0


def has_openvswitch(run: Run = run_command) -> bool:
    """Whether ovsdb-server and ovs-vswitchd both answer."""
    return openvswitch(run).is_present


def has_tun(run: Run = run_command) -> bool:
    """Whether TUN devices can be made."""
    return _TUN.look(run).is_present


def has_kernel_datapath(run: Run = run_command) -> bool:
    """Whether the kernel switches packets for Open vSwitch."""
    return kernel_datapath(run).is_present


def has_netem(run: Run = run_command) -> bool:
    """Whether links can be given delay."""
    return _NETEM.look(run).is_present


def has_xfrm_esp(run: Run = run_command) -> bool:
    """Whether the kernel's own ESP takes AES-256-GCM; XFRM being there does not say so."""
    return _XFRM_ESP.look(run).is_present


# -- ways of looking ----------------------------------------------------------------------------


def kernel_datapath(_run: Run) -> Finding:
    # Open vSwitch lists `system` among its datapath_types whether or not the kernel has it: the kernel is asked.
    try:
        number = family_id("ovs_datapath")
    except (OSError, GenetlinkError) as error:
        return Finding(False, str(error))
    if number is None:
        return Finding(False, "no module openvswitch in this kernel")
    return Finding(True, "the kernel has the module openvswitch")


def openvswitch(run: Run) -> Finding:
    database = run(["ovs-vsctl", "--timeout=5", "--no-wait", "get", "Open_vSwitch", ".", "ovs_version"])
    if not database.is_success:
        return Finding(False, f"ovsdb-server: {database.reason}")
    switch = run(["ovs-appctl", "--timeout=5", "--target=ovs-vswitchd", "version"])
    if not switch.is_success:
        return Finding(False, f"ovs-vswitchd: {switch.reason}")
    return Finding(True, switch.reason)


def _allocator(_run: Run) -> Finding:
    # As scripts/setup/environment.sh starts it.
    try:
        pid = int(Path(os.environ.get("OVS_RUNDIR", "/var/run/openvswitch"), "ovs-vswitchd.pid").read_text())
        libraries = Path(f"/proc/{pid}/maps").read_text()
    except (OSError, ValueError) as error:
        return Finding(False, f"ovs-vswitchd: {error}")
    is_there = "libjemalloc" in libraries
    return Finding(is_there, "jemalloc" if is_there else "the C library's allocator")


def _in_new_namespace(command: str, seen: str) -> Callable[[Run], Finding]:
    def look(run: Run) -> Finding:
        outcome = run(["unshare", "--net", "--", *shlex.split(command)])
        return Finding(outcome.is_success, seen if outcome.is_success else outcome.reason)

    return look


def _udp_option(name: str, option: int, value: int) -> Callable[[Run], Finding]:
    def look(_run: Run) -> Finding:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                udp.setsockopt(socket.IPPROTO_UDP, option, value)
            except OSError as error:
                return Finding(False, f"{name}: {error.strerror}")
        return Finding(True, f"{name} is taken")

    return look


def _settings(_run: Run) -> Finding:
    refused = refused_settings()
    return Finding(refused is None, refused or "the kernel takes them in a new namespace")


def _addresses(_run: Run) -> Finding:
    # A running network's own are no obstacle to the next: it ends first.
    if ROOT_MANAGEMENT_INTERFACE in {name for _, name in socket.if_nameindex()}:
        return Finding(True, "a network of QSlice is up")
    taken = foreign_route()
    return Finding(taken is None, f"taken: {taken}" if taken else f"nobody uses {MANAGEMENT_NETWORK}")


def _superuser(_run: Run) -> Finding:
    return Finding(is_root(), f"user id {os.geteuid()}")


def _tools(_run: Run) -> Finding:
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return Finding(not missing, f"missing: {', '.join(missing)}" if missing else ", ".join(_TOOLS))


def _modules(_run: Run) -> Finding:
    missing = [module for module in _MODULES if importlib.util.find_spec(module) is None]
    return Finding(not missing, f"missing: {', '.join(missing)}" if missing else ", ".join(_MODULES))


def _liboqs(_run: Run) -> Finding:
    # `import oqs` would clone and build the C library over the network where it is missing: only the file is sought.
    prefix = os.environ.get("OQS_INSTALL_PATH", "")
    places = (
        [str(path) for folder in ("lib", "lib64") for path in Path(prefix, folder).glob("liboqs.so*")] if prefix else []
    )
    found = places[0] if places else ctypes.util.find_library("oqs")
    return Finding(found is not None, found or "no liboqs.so")


_SET_UP = "nothing; `scripts/qslice setup` installs it"

_TUN = Probe(
    "tun",
    "TUN devices",
    _in_new_namespace("ip tuntap add dev probe0 mode tun", seen="a TUN device was made"),
    "nothing; load the module tun, or give the container /dev/net/tun",
    is_required=True,
)
_NETEM = Probe(
    "netem",
    "delay on links",
    _in_new_namespace("tc qdisc add dev lo root netem delay 1ms", seen="tc netem"),
    "links have no delay; reports say so",
)
_XFRM_ESP = Probe(
    "xfrm-esp",
    "ESP in the kernel",
    _in_new_namespace(
        "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 mode tunnel"
        f" aead rfc4106(gcm(aes)) 0x{bytes(36).hex()} 128",
        seen="an AES-256-GCM state was taken",
    ),
    "the userspace tunnel, always there",
)
_XFRM_INTERFACE = Probe(
    "xfrm-interface",
    "interfaces for the kernel's ESP",
    _in_new_namespace("ip link add probe0 type xfrm dev lo if_id 1", seen="an xfrm interface was made"),
    "the userspace tunnel, always there",
)

PROBES: tuple[Probe, ...] = (
    Probe("root", "superuser", _superuser, "nothing; run it with sudo", is_required=True),
    Probe("tools", "command line tools", _tools, _SET_UP, is_required=True),
    Probe("python", "Python packages", _modules, _SET_UP, is_required=True),
    Probe(
        "openvswitch", "Open vSwitch runs", openvswitch, "nothing; `scripts/qslice setup` starts it", is_required=True
    ),
    Probe(
        "switch-memory",
        "Open vSwitch's allocator",
        _allocator,
        "switches half as fast; `qslice down`, remove other bridges, then `scripts/qslice setup`",
    ),
    Probe(
        "namespaces",
        "network namespaces",
        _in_new_namespace("true", seen="a namespace was made"),
        "nothing; a container needs CAP_SYS_ADMIN and CAP_NET_ADMIN",
        is_required=True,
    ),
    Probe(
        "settings",
        "settings of namespaces (/proc/sys)",
        _settings,
        "nothing; mount -o remount,rw /proc/sys, or a privileged container",
        is_required=True,
    ),
    Probe(
        "addresses",
        "addresses for management",
        _addresses,
        "nothing; end what uses that network, or move it",
        is_required=True,
    ),
    Probe(
        "veth",
        "virtual links",
        _in_new_namespace("ip link add probe0 type veth peer name probe1", seen="a veth pair was made"),
        "nothing; load the module veth",
        is_required=True,
    ),
    _TUN,
    Probe(
        "ipv6",
        "IPv6 in tunnels",
        _in_new_namespace("ip -6 addr add fd51:5c1c::1/128 dev lo", seen="an address was taken"),
        "tunnels carry IPv4 alone",
    ),
    Probe("kernel-datapath", "kernel switching", kernel_datapath, "Open vSwitch's userspace datapath (netdev)"),
    Probe(
        "htb",
        "capacity of links",
        _in_new_namespace("tc qdisc add dev lo root handle 1: htb default 1", seen="tc htb"),
        "links are unshaped; meters alone hold rates",
    ),
    Probe(
        "tbf",
        "silent loss on links",
        _in_new_namespace("tc qdisc add dev lo root tbf rate 8bit burst 1 limit 1", seen="tc tbf"),
        "no blackhole faults",
    ),
    _NETEM,
    _XFRM_ESP,
    _XFRM_INTERFACE,
    Probe(
        "tun-offload",
        "super-segments from TUN",
        _in_new_namespace(
            "ip tuntap add dev probe0 mode tun vnet_hdr", seen="a TUN device with virtio headers was made"
        ),
        "one read per packet: a slower tunnel",
    ),
    Probe(
        "udp-gso",
        "UDP segmentation",
        _udp_option("UDP_SEGMENT", 103, 1400),
        "one send per datagram: a slower tunnel",
    ),
    Probe(
        "udp-gro",
        "UDP coalescing",
        _udp_option("UDP_GRO", 104, 1),
        "one receive per datagram: a slower tunnel",
    ),
    Probe("liboqs", "NTRU from liboqs", _liboqs, "Streamlined NTRU Prime (sntrup761) from pqcrypto"),
)


def survey(probes: Sequence[Probe] = PROBES, run: Run = run_command) -> tuple[Capability, ...]:
    """Try every probe, in order."""

    def row(probe: Probe) -> Capability:
        found = probe.look(run)
        return Capability(
            id=probe.id,
            what=probe.what,
            is_present=found.is_present,
            is_required=probe.is_required,
            detail=found.detail,
            instead="" if found.is_present else probe.instead,
        )

    return tuple(row(probe) for probe in probes)


def is_sufficient(capabilities: Sequence[Capability]) -> bool:
    """Whether QSlice can run: nothing required is missing."""
    return all(capability.is_present for capability in capabilities if capability.is_required)
