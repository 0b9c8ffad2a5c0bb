"""Prometheus text exposition format 0.0.4: the model's state, what has happened, how long requests took."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controller.model.key_rates import SectionStatus
from controller.model.states import ConnectionState, SliceState
from controller.operations.event_log import EventLog
from controller.state.network_state import NetworkState

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Labels = tuple[tuple[str, str], ...]


@dataclass
class Histogram:
    """Counts per bucket (not cumulative; the last is beyond the largest bound) and the sum of all values."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total_s: float = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.total_s += seconds


class Telemetry:
    """How requests went: per operation the durations, per operation and status the number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._durations: dict[str, Histogram] = {}
        self._answers: dict[tuple[str, int], int] = {}

    def record(self, operation: str, status: int, seconds: float) -> None:
        with self._lock:
            self._durations.setdefault(operation, Histogram()).observe(seconds)
            self._answers[operation, status] = self._answers.get((operation, status), 0) + 1

    def lines(self) -> Iterable[str]:
        with self._lock:
            durations = {name: (list(h.counts), h.total_s) for name, h in sorted(self._durations.items())}
            answers = sorted(self._answers.items())
        yield from _family(
            "qslice_api_requests_total", "counter", "Requests answered, by operation and status.",
            [((("operation", name), ("status", str(status))), count) for (name, status), count in answers],
        )  # fmt: skip
        name = "qslice_api_request_seconds"
        yield from _head(name, "histogram", "From the arrival of a request to its answer.")
        for operation, (counts, total_s) in durations.items():
            reached = 0
            for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), counts, strict=True):
                reached += count
                yield _sample(f"{name}_bucket", (("operation", operation), ("le", bound)), reached)
            yield _sample(f"{name}_sum", (("operation", operation),), round(total_s, 9))
            yield _sample(f"{name}_count", (("operation", operation),), reached)


def metrics_text(
    model: NetworkState, sections: Mapping[str, SectionStatus], events: EventLog, telemetry: Telemetry
) -> str:
    """Everything there is to know, as text."""
    network, topology = model.network, model.network.topology
    slices = [record.state for record in model.slices.values()]
    connections = [connection.state for connection in model.connections.values()]
    channels, sites = topology.channels, topology.site_names
    lines = [
        *_family(
            "qslice_slices", "gauge", "Slices by state.",
            [((("state", s.value),), slices.count(s)) for s in SliceState],
        ),
        *_family(
            "qslice_connections", "gauge", "Connections by state.",
            [((("state", s.value),), connections.count(s)) for s in ConnectionState],
        ),
        *_family(
            "qslice_connection_reachable", "gauge", "1 while a connection's probes pass, 0 while they fail.",
            [
                ((("connection", i),), int(f.reachable))
                for i, f in sorted(model.findings.items()) if f.reachable is not None
            ],
        ),
        *_family(
            "qslice_channel_up", "gauge", "1 while the channel works at both ends.",
            [((("channel", c.id),), int(network.is_channel_up(c.id))) for c in channels],
        ),
        *_family(
            "qslice_channel_dark", "gauge", "1 while the channel is a spare that is held dark.",
            [((("channel", c.id),), int(network.is_dark(c.id))) for c in channels if c.dark],
        ),
        *_family(
            "qslice_channel_capacity_bps", "gauge", "Capacity of a channel in each direction.",
            [((("channel", c.id),), round(c.capacity_mbps * 1000) * 1000) for c in channels],
        ),
        *_family(
            "qslice_channel_reserved_bps", "gauge", "Reserved bandwidth in each direction.",
            [((("channel", c.id),), network.reserved_kbps(c.id) * 1000) for c in channels],
        ),
        *_family(
            "qslice_site_free_vcpus", "gauge", "Virtual CPUs that are not reserved.",
            [((("site", s),), network.free_compute(s)[0]) for s in sites],
        ),
        *_family(
            "qslice_section_key_bps", "gauge", "Secret key rate of a QKD section; none while it is unknown.",
            [((("section", i),), s.rate_millibps / 1000) for i, s in sorted(sections.items()) if s.is_known],
        ),
        *_family(
            "qslice_section_reserved_key_bps", "gauge", "Reserved secret key rate of a QKD section.",
            [((("section", s.id),), network.reserved_key_millibps(s.id) / 1000) for s in topology.sections],
        ),
        *_family(
            "qslice_section_usable", "gauge", "1 while the KMS vouches for the section; none while it is unknown.",
            [((("section", i),), int(s.is_usable)) for i, s in sorted(sections.items()) if s.is_known],
        ),
        *_family(
            "qslice_section_qber", "gauge", "Quantum bit error rate of a QKD section.",
            [((("section", i),), s.qber) for i, s in sorted(sections.items()) if s.qber is not None],
        ),
        *_family(
            "qslice_events_total", "counter",
            "State changes by kind and state; connection/REROUTING counts reroutes, connection/DEGRADED failed ones.",
            [((("kind", kind), ("state", state)), count) for (kind, state), count in sorted(events.totals().items())],
        ),
        *_family("qslice_event_followers", "gauge", "Readers of the event stream.", [((), events.follower_count)]),
        *telemetry.lines(),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, text: str, samples: Iterable[tuple[Labels, float]]) -> Iterable[str]:
    yield from _head(name, kind, text)
    for labels, value in samples:
        yield _sample(name, labels, value)


def _head(name: str, kind: str, text: str) -> Iterable[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, labels: Labels, value: float) -> str:
    if not labels:
        return f"{name} {value}"
    inside = ",".join(f'{key}="{_escape(text)}"' for key, text in labels)
    return f"{name}{{{inside}}} {value}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
