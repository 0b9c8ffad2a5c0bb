"""Exercise 2: cut a channel of a connection and explain how it moved. Judged by the controller's record of the move,
the state of the channel, and packets captured on the new path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.automation.testbed import Testbed
from scripts.automation.values import Connection, Slice
from scripts.lab.exercise import Answers, Exercise, Finding
from scripts.lab.looking import raw_slice
from scripts.measure.capture.plaintext_search import look_for_markers
from scripts.measure.probes.probers import Probers
from topologies.spec import SecurityClass

NAME, CONNECTION = "lab2", "data"
REQUEST = {
    "name": NAME,
    "sNSSAI": {"sst": 1, "sd": "0000E2"},
    "connections": [
        {"name": CONNECTION, "from": "cell1", "to": "core1", "security": "qra", "bandwidth_mbps": 5, "latency_ms": 20}
    ],
}
TASK = f"""\
The slice {NAME} has one connection, {CONNECTION}, from cell1 to core1; it asks for post-quantum keys. Find a channel on
its path (`qslice slice show {NAME}`) and cut it (`qslice link down ID`); leave it cut. The connection moves to another
path. Explain the move to the check, from what the system shows you (`qslice slice show {NAME} --json`: `path` and
`reroutes`; `qslice link list`: the class of each channel):

    sudo qslice lab check 2 cut=CHANNEL path=CHANNEL,CHANNEL,... class=LOWEST cause=CAUSE

`path` is the one in use now, `class` the lowest class of a channel on it, `cause` the one that the controller gives for
its move away from the channel that you cut."""
ANSWERS = {
    "cut": "the channel that you cut",
    "path": "the channels of the path in use now, from cell1 to core1",
    "class": "the lowest class of a channel on that path",
    "cause": "the controller's cause for the move",
}


def prepare(testbed: Testbed) -> None:
    testbed.create(REQUEST)


def judge_move(
    answers: Answers, connection: Mapping[str, Any], classes: Mapping[str, SecurityClass], down: Sequence[str]
) -> list[Finding]:
    """The answers against the controller's view of the connection and the channels that are ``down`` now. Pure."""
    cut, path = answers["cut"], connection["path"]
    moves = [m for m in connection["reroutes"] if cut in m["old_path"] and cut not in m["new_path"]]
    told = [channel.strip() for channel in answers["path"].split(",")]
    weakest = min((classes[channel] for channel in path), default=SecurityClass.NONE).label
    causes = [m["cause"] for m in moves]
    return [
        Finding("the channel is cut", cut in down, f"{cut} is {'down' if cut in down else 'not down'}"),
        Finding("the cut moved the connection", bool(moves), f"{len(moves)} moves away from {cut}"),
        Finding("the path in use now", bool(path) and told == path, "is the one" if told == path else "is another one"),
        Finding("the lowest class on it", bool(path) and answers["class"].lower() == weakest, answers["class"]),
        Finding("the cause of the move", answers["cause"].lower() in causes[-1:], answers["cause"]),
    ]


def judge(testbed: Testbed, answers: Answers) -> list[Finding]:
    view = raw_slice(testbed, NAME)
    if view is None:
        return [Finding(f"{NAME} exists", False, "begin with: qslice lab start 2")]
    channels = testbed.channels()
    classes = {channel.id: SecurityClass.parse(channel.security) for channel in channels.values()}
    down = [channel for channel in channels if channels[channel].state == "down" and _has_no_carrier(testbed, channel)]
    (connection,) = view["connections"]
    return [*judge_move(answers, connection, classes, down), _judge_packets(testbed, Slice.of(view).connections[0])]


def _has_no_carrier(testbed: Testbed, channel: str) -> bool:
    """Of both its ends, by the kernel."""
    ports = testbed.system.channel_interfaces(channel)
    return all(
        Path("/sys/class/net", port, "operstate").read_text(encoding="ascii").strip() == "down" for port in ports
    )


def _judge_packets(testbed: Testbed, connection: Connection) -> Finding:
    """Marked packets are sent over it and captured on every channel of its path."""
    what = "packets are on that path, encrypted"
    if not connection.path:
        return Finding(what, False, "the connection has no path")
    with Probers(testbed.system, sorted({connection.src, connection.dst})) as probers:
        found = look_for_markers(testbed.system, probers, [connection])[connection.id]
    seen = ", ".join(str(sighting.frames_seen) for sighting in found.sightings)
    return Finding(what, found.ok, f"frames captured hop by hop: {seen}" if found.ok else found.detail)


EXERCISE = Exercise(2, "cut a channel and explain the reroute", TASK, ANSWERS, prepare, judge)
