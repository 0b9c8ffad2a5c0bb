"""BB84 in SeQUeNCe, run by the interpreter of its own environment: ``python sequence_peer.py '{"km": 10, ...}'``.

Nothing of QSlice is imported. Prints one JSON object: sifted bits, wall seconds of the simulation alone, error rate.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import warnings

warnings.filterwarnings("ignore")

from sequence.components.optical_channel import ClassicalChannel, QuantumChannel  # noqa: E402
from sequence.kernel.event import Event  # noqa: E402
from sequence.kernel.process import Process  # noqa: E402
from sequence.kernel.timeline import Timeline  # noqa: E402
from sequence.protocol import StackProtocol  # noqa: E402
from sequence.qkd.BB84 import pair_bb84_protocols  # noqa: E402
from sequence.topology.node import QKDNode  # noqa: E402


class KeyCounter(StackProtocol):
    """Takes the keys that BB84 delivers."""

    def __init__(self, owner: QKDNode) -> None:
        super().__init__(owner, "counter")
        self.keys = 0

    def init(self) -> None:
        """Nothing to prepare."""

    def push(self, *_: object, **__: object) -> None:
        """Nothing is above."""

    def received_message(self, *_: object, **__: object) -> None:
        """Nobody writes."""

    def pop(self, *_: object, **__: object) -> None:
        self.keys += 1


def simulate(wanted: dict[str, float]) -> dict[str, float]:
    """Keys over one fibre until there are ``keys`` of ``key_bits`` each."""
    timeline = Timeline(1e15)
    alice, bob = QKDNode("alice", timeline, stack_size=1), QKDNode("bob", timeline, stack_size=1)
    metres = wanted["km"] * 1e3
    for seed, (near, far) in enumerate(((alice, bob), (bob, alice))):
        near.set_seed(seed)
        quantum = QuantumChannel(
            f"quantum-{near.name}", timeline, distance=metres, attenuation=wanted["db_per_km"] / 1e3,
            polarization_fidelity=wanted["fidelity"],
        )  # fmt: skip
        quantum.set_ends(near, far.name)
        ClassicalChannel(f"classical-{near.name}", timeline, distance=metres).set_ends(near, far.name)
        near.update_lightsource_params("frequency", wanted["pulse_rate_hz"])
        near.update_lightsource_params("mean_photon_num", wanted["mean_photons"])
        for detector in range(2):
            near.update_detector_params(detector, "efficiency", wanted["efficiency"])
            near.update_detector_params(detector, "dark_count", wanted["dark_count_hz"])
            near.update_detector_params(detector, "count_rate", wanted["count_rate_hz"])
            near.update_detector_params(detector, "time_resolution", 10)
    protocols = [node.protocol_stack[0] for node in (alice, bob)]
    pair_bb84_protocols(*protocols)
    counters = [KeyCounter(node) for node in (alice, bob)]
    for protocol, counter in zip(protocols, counters, strict=True):
        protocol.upper_protocols.append(counter)
        counter.lower_protocols.append(protocol)
    timeline.init()
    key_bits = int(wanted["key_bits"])
    timeline.schedule(Event(0, Process(protocols[0], "push", [key_bits, int(wanted["keys"])])))
    began = time.perf_counter()
    timeline.run()
    wall_s = time.perf_counter() - began
    return {
        "sifted_bits": counters[0].keys * key_bits + len(protocols[0].key_bits),
        "wall_s": wall_s,
        "error_rate": statistics.mean(protocols[0].error_rates),
    }


if __name__ == "__main__":
    print(json.dumps(simulate(json.loads(sys.argv[1]))))
