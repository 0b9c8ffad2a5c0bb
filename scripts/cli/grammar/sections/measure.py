"""Measure: scripted failures and benchmarks."""

from __future__ import annotations

from pathlib import Path

from scripts.cli.grammar.leaf import Argument, Leaf, Needs, Section, argument
from scripts.cli.grammar.shared import (
    API_PORT,
    ENCRYPTION,
    EXTENSION_TERMS,
    KEY_POLICIES,
    PROVISIONING,
    USE,
    out_option,
    topology_option,
)
from scripts.cli.grammar.values import count, number, seconds, slowness, whole

TROUBLES = ("link-down", "link-blackhole", "link-flap", "risk-down", "node-down", "eavesdrop-start", "kill")
MUTATIONS = ("lower-security-on-reroute", "never-release", "always-active")
WIRES = ("veth", "fabric")
MODES = ("host", "channel", "both")
CARRIERS = (
    "plain", "ours", "kernel", "ours_first", "wireguard_go", "wireguard_go_new", "openvpn", "openvpn_tuned",
)  # fmt: skip
MOST_SLICES = 1000


def _bench_topology(default: str) -> Argument:
    return topology_option(None, f"the network (default {default})")


def _bench_out(name: str) -> Argument:
    return out_option(f"results/bench/{name}", "where plots and raw figures go")


SECTION = Section(
    "Measure",
    (
        Leaf(
            "experiment list", "measure.experiment", "List the shipped failure experiments.",
            ("experiment list", "experiment list -o name"), "never", needs=Needs.PYTHON, name_of="name",
        ),
        Leaf(
            "experiment run", "measure.experiment", "Run a failure experiment on a network of its own.",
            ("experiment run chaos --faults 50 --seed 7",
             "experiment run link-cut --use healing=lazy --against builtin"),
            "a rule was violated: the report and `violations` say which",
            (
                argument("name", metavar="NAME|FILE", names="experiment",
                         help="a shipped one (`experiment list`), chaos, or a YAML file"),
                topology_option(None, "another network than the experiment names"),
                out_option("results/experiments/NAME"),
                argument("--seed", type=whole, metavar="N",
                         help="of every random choice: the same seed gives the same faults"),
                argument("--repetitions", type=whole, metavar="N", help="how often (default: as the file says)"),
                argument("--faults", type=whole, metavar="N", help="of chaos: how many (default 200)"),
                argument("--kinds", metavar="KIND,...",
                         help=f"of chaos: which, of {', '.join(TROUBLES)} (default: all)"),
                argument("--no-bfd", action="store_true",
                         help="of chaos: without BFD; the tunnels' continuity checks detect silent failures"),
                USE,
                argument("--against", metavar="builtin|KIND=TARGET", names="extension",
                         help="with --use: a second arm, repetition by repetition beside the first"),
                *EXTENSION_TERMS,
                argument("--unsafe-no-audit", action="store_true", help="==SUPPRESS=="),
                argument("--mutation", choices=MUTATIONS,
                         help="of chaos: a controller with a defect on purpose; it ends at the first violation, and "
                              "one is expected"),
                API_PORT, ENCRYPTION, PROVISIONING, *KEY_POLICIES,
                argument("--time-scale", type=number, default=1.0, help="==SUPPRESS=="),
            ),
        ),
        Leaf(
            "bench provision", "measure.bench", "Measure set-up and tear-down times of slices.",
            ("bench provision", "bench provision --slices 500"), "a set-up or tear-down failed",
            (
                argument("--runs", type=count, metavar="N",
                         help="runs of each use case (default 100)"),
                argument("--slices", type=count, nargs="?", const=MOST_SLICES, metavar="N",
                         help="instead: add slices until one does not fit, at most N (default %(const)s)"),
                argument("--both-modes", action="store_true",
                         help="parallel and sequential provisioning on one network, in turns"),
                _bench_topology("ukqntel; with --slices metro-ring"),
                _bench_out("provision"), API_PORT, ENCRYPTION, PROVISIONING,
            ),
        ),
        Leaf(
            "bench failover", "measure.bench", "Measure packets lost and outage per failure, by protection class.",
            ("bench failover", "bench failover --runs 10 --slices 20"), "1+1 lost a packet, or a measurement failed",
            (
                argument("--runs", type=count, metavar="N",
                         help="failures of each protection class and detection (default 100)"),
                argument("--slices", type=count, metavar="N", help="slices hit by one cut (default 100)"),
                argument("--stp-runs", type=count, metavar="N",
                         help="runs of the spanning-tree baseline (default 1)"),
                _bench_topology("metro-ring"), _bench_out("failover"), API_PORT, ENCRYPTION,
            ),
        ),
        Leaf(
            "bench tunnel", "measure.bench",
            "Measure the tunnel's throughput and latency beside plain, kernel ESP, WireGuard and OpenVPN.",
            ("bench tunnel", "bench tunnel --wires veth --mtus 1500 --who plain ours"),
            "packets were lost while keys changed",
            (
                argument("--rounds", type=count, metavar="N",
                         help="rounds of each measurement, interleaved (default 3)"),
                argument("--seconds", type=count, metavar="N",
                         help="duration of each TCP stream (default 3)"),
                argument("--wires", nargs="+", choices=WIRES, default=WIRES, help="what the tunnels run over"),
                argument("--mtus", type=count, nargs="+", metavar="N",
                         help="MTUs of the wire, in octets (default 1500 9000)"),
                argument("--who", nargs="+", choices=CARRIERS, default=CARRIERS, help="tunnels to measure"),
                argument("--wireguard-go-new", type=Path, metavar="PATH", names="file",
                         help="a newer wireguard-go's binary"),
                argument("--no-rekeying", action="store_true", help="leave out the cost of rekeying"),
                _bench_out("tunnel"),
            ),
        ),
        Leaf(
            "bench cards", "measure.bench",
            "Measure what wavelengths carry whose cards seal, beside others: three in a row through four switches.",
            ("bench cards", "bench cards --rounds 2 --seconds 2"), "frames were lost while keys changed",
            (
                argument("--rounds", type=count, metavar="N",
                         help="rounds, each over plain and over sealed wavelengths (default 5)"),
                argument("--seconds", type=count, metavar="N", help="duration of each TCP stream (default 3)"),
                _bench_out("cards"), API_PORT,
            ),
        ),
        Leaf(
            "bench paths", "measure.bench", "Measure path computation: exactness and speed.",
            ("bench paths --sizes 100 1000 --queries 50", "bench paths --profiles --seeds 5"),
            "a path was not the best there is, or the auditor refused an answer of an extension",
            (
                argument("--sizes", type=count, nargs="+", metavar="N", help="network sizes, in sites"),
                argument("--queries", type=count, metavar="N", help="requests per size"),
                USE,
                argument("--instances", type=count, default=100, metavar="N",
                         help="with --use: slices that can be placed, on which it is compared (default %(default)s)"),
                argument("--profiles", action="store_true",
                         help="instead: how many slices each cost profile lets in under a random load on ukqntel and "
                              "metro-ring"),
                argument("--seeds", type=count, default=10, metavar="N",
                         help="with --profiles: sequences of arrivals for each load (default %(default)s)"),
                _bench_out("paths"),
            ),
        ),
        Leaf(
            "bench qkd", "measure.bench", "Measure the QKD simulation: sifting, reconciliation, rates over distance.",
            ("bench qkd", "bench qkd --bits 10000000 --no-peer"), "two ends got different keys",
            (
                argument("--bits", type=count, metavar="N", help="bits to reconcile (default 10^8)"),
                argument("--no-peer", action="store_true", help="do not install and measure SeQUeNCe beside it"),
                _bench_out("qkd"),
            ),
        ),
        Leaf(
            "bench scale", "measure.bench", "Measure what a network costs by its number of sites.",
            ("bench scale", "bench scale --sites 5 24 --runs 5"), "a measurement failed",
            (
                argument("--sites", type=count, nargs="+", metavar="N",
                         help="numbers of sites (default: 5 24 48 100)"),
                argument("--runs", type=count, metavar="N",
                         help="slices on each network (default 20)"),
                argument("--slowness", type=slowness, default=1.0, metavar="N",
                         help="for emulated processors: time limits multiplied by N, no restoration"),
                _bench_out("scale"), API_PORT, ENCRYPTION,
            ),
        ),
        Leaf(
            "bench encryption", "measure.encryption",
            "Compare hosts, cards and both sealing: keys, round trips, what an eavesdropper sees.",
            ("bench encryption", "bench encryption --modes channel --slices 4 --pings 300"),
            "cards' keys grow with the slices, hosts' do not, or a sealed payload is readable",
            (
                argument("--modes", nargs="+", choices=MODES, default=MODES, help="which, one after the other"),
                argument("--slices", type=count, metavar="N", help="slices at the most, for key rates (default 8)"),
                argument("--pings", type=count, metavar="N", help="of each connection (default 1500)"),
                argument("--window-s", type=seconds, metavar="S", dest="window_s",
                         help="duration for each number of slices (default 24)"),
                _bench_topology("ukqntel"), _bench_out("encryption"), API_PORT,
            ),
        ),
        Leaf(
            "bench kms", "measure.bench", "Measure keys per second over mutual TLS, and latencies.",
            ("bench kms", "bench kms --seconds 2 --applications 500"), "a key was not delivered",
            (
                argument("--seconds", type=seconds, metavar="S",
                         help="duration for each mode and number of clients"),
                argument("--apps-seconds", type=seconds, metavar="S",
                         help="duration with the applications that rekey every 3 s"),
                argument("--applications", type=count, metavar="N", help="applications that rekey every 3 s"),
                argument("--source", metavar="SOURCE",
                         help="where the keys come from: dh, qra, qkd or like qkd+qra"),
                _bench_out("kms"),
            ),
        ),
    ),
    {"experiment": "failure experiments with tables and plots", "bench": "benchmarks, with peers measured beside"},
)  # fmt: skip
