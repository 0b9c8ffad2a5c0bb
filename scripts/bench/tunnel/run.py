"""``bench tunnel``: ours beside no tunnel and other people's, over the same wire, their runs interleaved."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from scripts.bench.common import percentile
from scripts.bench.tunnel import measure, peers
from scripts.bench.tunnel.carriers import Carrier, OpenVpn, Ours, Plain, WireGuardGo
from scripts.bench.tunnel.wires import ENDS, Wire
from scripts.errors import CommandError, EnvironmentLacks
from scripts.measure.errors import MeasurementError
from scripts.testbed.paths import REPOSITORY

# The tunnel as the first issue left it: one packet at a time. Measured for as long as it is in the history.
FIRST_TUNNEL = "479f01273bcde7cfea1502c0c8ff49d2f54b7bb0"
PLAIN, OURS, KERNEL, FIRST = "plain", "ours", "kernel", "ours_first"
WIREGUARD_GO, WIREGUARD_GO_NEW, OPENVPN = "wireguard_go", "wireguard_go_new", "openvpn"
OPENVPN_TUNED = "openvpn_tuned"
EVERYBODY = (PLAIN, OURS, KERNEL, FIRST, WIREGUARD_GO, WIREGUARD_GO_NEW, OPENVPN, OPENVPN_TUNED)
UDP_BYTES = (64, 512, 1400)
REKEYINGS_S = (3.0, 1.0, 0.1)
REKEYING_ROUNDS = 3  # times the others': a few per cent are looked for, and a machine's speed varies by more
QUIET_S = 0.5
NOTES = (
    "WIRE.MTU.tcp.WHO_gbps: one TCP stream (iperf3), what the receiver got; median of the rounds, with .min and .max",
    "WIRE.MTU.udp.WHO_gbps, .WHO_pps_N: UDP payloads of 1400 and of N octets, sent as fast as iperf3 can, what arrived",
    "WHO_cpu_s_per_gbit: user and system time of the tunnel's two processes; the applications and the wire come on top "
    "(left out for kernel, whose work is in no process)",
    "WIRE.MTU.tcp.ours_to_WHO: how many times the other's stream ours was in the same round; median, .min and .max",
    "rekey: one TCP stream over ours with that pause between keys; throughput_ratio to the one with the longest in the "
    "same round; lost_packets are packets sealed at one end and not delivered at the other, both directions",
    "sender, receiver, both ends of the tunnel and the wire share the machine's processors",
)


@dataclass(frozen=True)
class Plan:
    """What to measure, and how long."""

    wires: tuple[str, ...]
    mtus: tuple[int, ...]
    who: tuple[str, ...] = EVERYBODY
    rounds: int = 3
    seconds: float = 3.0
    wireguard_go_new: Path | None = None
    with_rekeying: bool = True


@dataclass
class Results:
    """Every single value by the name of its figure, and what could not be measured and why."""

    values: dict[str, list[float]] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.values.setdefault(name, []).append(value)

    def figures(self) -> dict[str, float]:
        """Medians under the names that contracts.md gives, and the range of each beside it."""
        found: dict[str, float] = {}
        for name, values in self.values.items():
            found[name] = round(statistics.median(values), 4)
            found[f"{name}.min"], found[f"{name}.max"] = round(min(values), 4), round(max(values), 4)
        return {**found, **self.totals}


def run(plan: Plan, directory: Path, say: Callable[[str], None]) -> Results:
    """Measure everything; a peer that cannot be had or does not work becomes a note, not an error."""
    results = Results()
    programs = _programs(plan, directory, results)
    with tempfile.TemporaryDirectory(prefix="qslice-bench-") as scratch:
        for kind in plan.wires:
            for mtu in plan.mtus:
                with Wire(kind, mtu) as wire:
                    _compare(plan, wire, programs, Path(scratch), results, say)
        if plan.with_rekeying and OURS in plan.who:
            with Wire(plan.wires[0], plan.mtus[0]) as wire:
                _rekeying(plan, wire, Path(scratch), results, say)
    return results


def _programs(plan: Plan, directory: Path, results: Results) -> dict[str, peers.Program]:
    found: dict[str, peers.Program] = {}
    for who, package in ((WIREGUARD_GO, "wireguard-go"), (OPENVPN, "openvpn"), (OPENVPN_TUNED, "openvpn")):
        if who in plan.who:
            try:
                found[who] = peers.fetch(package, directory)
            except EnvironmentLacks as error:
                results.notes.append(f"{who} not measured: {error}")
    if plan.wireguard_go_new is not None and WIREGUARD_GO_NEW in plan.who:
        found[WIREGUARD_GO_NEW] = peers.given(plan.wireguard_go_new)
    results.versions |= {who: program.version for who, program in found.items()}
    return found


def _compare(
    plan: Plan, wire: Wire, programs: Mapping[str, peers.Program], scratch: Path, results: Results,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    prefix = f"{wire.kind}.{wire.mtu}"
    with ExitStack() as stack:
        carriers: dict[str, Carrier] = {}
        for who, carrier in _carriers(plan, wire, programs, scratch / prefix, results):
            stack.callback(carrier.close)
            try:
                carrier.open()
            except CommandError as error:
                results.notes.append(f"{prefix}: {who} not measured: {error}")
                continue
            carriers[who] = carrier
        for number in range(plan.rounds):
            say(f"{prefix}: round {number + 1} of {plan.rounds}: {', '.join(carriers)}")
            gbps: dict[str, float] = {}
            for who, carrier in carriers.items():
                try:
                    gbps[who] = _one_round(plan, prefix, who, carrier, results)
                except MeasurementError as error:
                    results.notes.append(f"{prefix}: {who}, round {number + 1}: {error}")
            ours = gbps.pop(OURS, 0.0)
            for who, theirs in gbps.items():
                if ours and theirs:
                    results.add(f"{prefix}.tcp.ours_to_{who}", ours / theirs)


def _one_round(plan: Plan, prefix: str, who: str, carrier: Carrier, results: Results) -> float:
    """Its TCP stream's Gbit/s."""
    stream = measure.tcp(carrier, plan.seconds)
    gbps = stream.gbps
    results.add(f"{prefix}.tcp.{who}_gbps", stream.gbps)
    results.add(f"{prefix}.tcp.{who}_retransmits", stream.retransmits)
    if who not in (PLAIN, KERNEL):
        results.add(f"{prefix}.tcp.{who}_cpu_s_per_gbit", stream.cpu_s_per_gbit)
    for size in UDP_BYTES:
        stream = measure.udp(carrier, plan.seconds / 2, size)
        results.add(f"{prefix}.udp.{who}_pps_{size}", stream.packets_per_s)
        if size == UDP_BYTES[-1]:
            results.add(f"{prefix}.udp.{who}_gbps", stream.gbps)
            results.add(f"{prefix}.udp.{who}_lost_share", stream.lost_share)
    trips = measure.round_trips_us(carrier)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        results.add(f"{prefix}.{who}.latency_us.{name}", percentile(trips, share))
    return gbps


def _carriers(
    plan: Plan, wire: Wire, programs: Mapping[str, peers.Program], scratch: Path, results: Results
) -> Iterator[tuple[str, Carrier]]:
    def folder(who: str) -> Path:
        path = scratch / who
        path.mkdir(parents=True)
        return path

    for who in plan.who:
        if who == PLAIN:
            yield who, Plain(wire, folder(who))
        elif who == OURS:
            yield who, Ours(wire, folder(who), number=1)
        elif who == KERNEL:
            yield who, Ours(wire, folder(who), number=3, kme_port_offset=2, data_plane="kernel")
        elif who == FIRST:
            tree = _first_tunnel(scratch / "first")
            if tree is None:
                results.notes.append(f"{who} not measured: {FIRST_TUNNEL[:7]} is not in this checkout's history")
            else:
                yield who, Ours(wire, folder(who), number=2, tree=tree, kme_port_offset=1, data_plane=None)
        elif who not in programs:
            continue
        elif who in (OPENVPN, OPENVPN_TUNED):
            yield who, OpenVpn(wire, folder(who), program=programs[who], is_tuned=who == OPENVPN_TUNED)
        else:
            number = 1 if who == WIREGUARD_GO else 2
            yield who, WireGuardGo(wire, folder(who), number=number, program=programs[who])


def _first_tunnel(directory: Path) -> Path | None:
    """The packages it needs as they were then."""
    directory.mkdir(parents=True)
    archive = directory / "first.tar"
    argv = ["git", "-C", str(REPOSITORY), "archive", "--output", str(archive), FIRST_TUNNEL, "kms"]
    if subprocess.run(argv, capture_output=True, check=False).returncode:
        return None
    subprocess.run(["tar", "-xf", str(archive), "-C", str(directory)], check=True)
    return directory


def _rekeying(plan: Plan, wire: Wire, scratch: Path, results: Results, say: Callable[[str], None]) -> None:
    """Ours with three paces of rekeying, interleaved; the pause of 3 s is what the others are compared with."""
    with ExitStack() as stack:
        carriers: dict[float, Ours] = {}
        for number, rekey_s in enumerate(REKEYINGS_S):
            folder = scratch / f"rekey-{rekey_s:g}"
            folder.mkdir()
            carrier = Ours(wire, folder, number=10 + number, rekey_s=rekey_s, kme_port_offset=10 + number)
            stack.callback(carrier.close)
            carrier.open()
            carriers[rekey_s] = carrier
        lost: dict[float, int] = dict.fromkeys(carriers, 0)
        rounds = REKEYING_ROUNDS * plan.rounds
        for number in range(rounds):
            say(f"rekeying every {', '.join(f'{s:g} s' for s in carriers)}: round {number + 1} of {rounds}")
            usual = 0.0
            for rekey_s, carrier in carriers.items():
                before = _in_flight(carrier)
                rekeys = carrier.stats("a")["rekeys"]
                stream = measure.tcp(carrier, plan.seconds)
                time.sleep(QUIET_S)
                lost[rekey_s] += _in_flight(carrier) - before
                usual = usual or stream.gbps
                results.add(f"{_pace(rekey_s)}.tcp_gbps", stream.gbps)
                results.add(f"{_pace(rekey_s)}.throughput_ratio", stream.gbps / usual if usual else 0.0)
                results.add(f"{_pace(rekey_s)}.rekeys", carrier.stats("a")["rekeys"] - rekeys)
    for rekey_s in REKEYINGS_S:
        results.totals[f"{_pace(rekey_s)}.lost_packets"] = lost[rekey_s]


def _in_flight(carrier: Ours) -> int:
    """Packets that one end has sealed and the other has not accepted."""
    ends: Sequence[dict[str, int]] = [carrier.stats(end) for end in ENDS]
    return sum(ends[n]["tx_packets"] - ends[1 - n]["rx_packets"] for n in (0, 1))


def _pace(rekey_s: float) -> str:
    return f"rekey_{rekey_s * 1000:.0f}ms" if rekey_s < 1 else f"rekey_{rekey_s:.0f}s"
