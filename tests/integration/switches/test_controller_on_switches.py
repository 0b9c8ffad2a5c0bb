"""The controller process on real Open vSwitch bridges: what packets do, before, during and after its work."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from scripts.testbed.paths import REPOSITORY
from tests.support.switch_fabric import Controller, Fabric, free_port, run, unique_prefix, with_prefix
from tests.support.wait import PATIENCE, wait_until
from topologies.catalog import ukqntel

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.counts_packets]

EXAMPLES = REPOSITORY / "scripts" / "examples"
PREFIX = unique_prefix()
MAX_OUTAGE_PINGS = 200  # the outage budget, in pings at 1 kHz


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    topology = with_prefix(ukqntel(), PREFIX)
    with Fabric(topology, free_port()) as fabric:
        process = Controller(fabric, tmp_path_factory.mktemp("ctl"), hold_down_s=0.3)
        try:
            process.start()
            yield process
        finally:
            process.stop()


@pytest.fixture
def clean(controller: Controller) -> Iterator[Controller]:
    """The controller, and after the test no slice, every channel up, nothing reserved, bare switches."""
    yield controller
    try:
        clean_up(controller)
    except AssertionError:
        print(controller.log_path.read_text())
        raise


def clean_up(controller: Controller) -> None:
    for agent in controller.agents.values():
        agent.refuse.clear()
    for channel in controller.fabric.topology.channels:
        controller.fabric.set_channel(channel.id, "up")
    for record in controller.call("GET", "/v1/slices")[1]["slices"]:
        assert controller.call("DELETE", f"/v1/slices/{record['name']}")[0] == 200
    wait_until(lambda: all(c["state"] == "up" for c in channels(controller).values()), 10)
    assert_bare(controller)


def channels(controller: Controller) -> dict[str, dict[str, Any]]:
    return {c["id"]: c for c in controller.call("GET", "/v1/topology")[1]["channels"]}


def assert_bare(controller: Controller) -> None:
    assert {i: c["reserved_mbps"] for i, c in channels(controller).items() if c["reserved_mbps"]} == {}
    for site, rules in controller.fabric.all_rules().items():
        assert rules == ["cookie=0x5153000000000000, priority=0 actions=drop"], site
        assert controller.fabric.meters(site) == [], site
    assert all(not agent.connections for agent in controller.agents.values())


def example(name: str, **changes: Any) -> dict[str, Any]:
    request: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    request["cells"] = [PREFIX + c for c in request["cells"]]
    request["core"] = PREFIX + request["core"]
    request["compute"]["site"] = PREFIX + request["compute"]["site"]
    return request | changes


def create(controller: Controller, request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    status, view = controller.call("POST", "/v1/slices", request)
    assert status == 201, view
    assert view["state"] == "ACTIVE"
    return {c["name"].removeprefix(PREFIX): c for c in view["connections"]}


def connection(controller: Controller, name: str, which: str) -> dict[str, Any]:
    view = controller.call("GET", f"/v1/slices/{name}")[1]
    return next(c for c in view["connections"] if c["name"].removeprefix(PREFIX) == which)


def ping(controller: Controller, site: str, address: str, options: str = "-c 3 -i 0.05 -W 1") -> int:
    """Replies that came."""
    text = controller.fabric.sh(site, f"ping -q {options} {address}", check=False)
    found = re.search(r"(\d+) received", text)
    return int(found.group(1)) if found else 0


LISTEN = (
    "import socket,sys; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind((sys.argv[1],int(sys.argv[2])));"
    "s.settimeout(float(sys.argv[3])); print('ready',flush=True); print(s.recvfrom(2000)[0].decode())"
)
SPEAK = (
    "import socket,sys; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind((sys.argv[1],int(sys.argv[3])));"
    "s.sendto(b'hello',(sys.argv[2],int(sys.argv[3])))"
)


def datagram_arrives(controller: Controller, src: str, dst: str, port: int, timeout_s: float = 2.0) -> bool:
    """Whether a datagram between the data interfaces of two hosts, with ``port`` at both ends, comes through."""
    topology, fabric = controller.fabric.topology, controller.fabric
    there = topology.host(dst).data_address
    listener = fabric.popen(dst, "python3", "-c", LISTEN, there, str(port), str(timeout_s))
    assert listener.stdout is not None
    assert listener.stdout.readline() == "ready\n"
    run("ip", "netns", "exec", src, "python3", "-c", SPEAK, topology.host(src).data_address, there, str(port))
    return "hello" in listener.communicate()[0]


def test_nothing_passes_without_a_slice(clean: Controller) -> None:
    topology = clean.fabric.topology
    cell1, agg1 = PREFIX + "cell1", PREFIX + "agg1"
    assert ping(clean, cell1, topology.host(agg1).data_address, "-c 1 -W 1") == 0


def test_a_clear_connection_carries_its_own_pair_and_nothing_else(clean: Controller) -> None:
    made = create(clean, example("cdn"))
    one, two = made["cell1-compute"], made["cell2-compute"]
    assert ping(clean, one["src"], one["dst_address"]) == 3
    assert ping(clean, one["dst"], one["src_address"]) == 3
    clean.fabric.sh(one["src"], f"ip route add {two['dst_address']}/32 dev data0")
    clean.fabric.sh(one["src"], f"ip neigh add {two['dst_address']} lladdr 02:51:53:00:00:03 dev data0")
    try:
        assert ping(clean, one["src"], two["dst_address"], f"-c 2 -i 0.05 -W 1 -I {one['src_address']}") == 0
        assert ping(clean, one["src"], clean.fabric.topology.host(one["dst"]).data_address, "-c 1 -W 1") == 0
    finally:
        clean.fabric.sh(one["src"], f"ip neigh del {two['dst_address']} dev data0; ip route del {two['dst_address']}")


def test_fault_37_the_largest_datagram_passes_the_smallest_slice(clean: Controller) -> None:
    request = example("cdn")
    for each in request["connections"].values():
        each["bandwidth_mbps"] = 0.001
    made = create(clean, request)["cell1-compute"]
    assert ping(clean, made["src"], made["dst_address"], "-c 1 -W 5 -s 65507") == 1


def test_an_encrypted_connection_passes_its_tunnel_port_and_no_other(clean: Controller) -> None:
    made = create(clean, example("enterprise-app"))
    access = made["cell1-compute"]
    assert access["required"] == access["key_source"] == "qra"
    port = access["tunnel"]["port"]
    assert datagram_arrives(clean, access["src"], access["dst"], port)
    assert datagram_arrives(clean, access["dst"], access["src"], port)
    assert not datagram_arrives(clean, access["src"], access["dst"], port + 1, timeout_s=0.3)
    classes = {i: c["class"] for i, c in channels(clean).items()}
    ranks = ["none", "dh", "qra", "qkd"]
    for made_connection in made.values():
        needed = ranks.index(made_connection["required"])
        assert all(ranks.index(classes[i]) >= needed for i in made_connection["path"])


def test_agents_are_told_both_ends_and_forget_them_again(clean: Controller) -> None:
    made = create(clean, example("enterprise-app"))
    access = made["cell1-compute"]
    here = clean.agents[access["src"]].connections[access["id"]]
    there = clean.agents[access["dst"]].connections[access["id"]]
    assert (here["role"], there["role"]) == ("initiator", "responder")
    assert (here["local_address"], here["peer_address"]) == (access["src_address"], access["dst_address"])
    assert (there["local_address"], there["peer_address"]) == (access["dst_address"], access["src_address"])
    assert here["peer_sae"] == f"sae-{access['dst']}"
    assert here["port"] == there["port"]


def test_a_cut_moves_the_connection_within_the_budget_and_repair_does_not_move_it_back(clean: Controller) -> None:
    made = create(clean, example("cdn"))
    before = made["cell1-compute"]
    pinger = clean.fabric.popen(before["src"], "ping", "-q", "-i", "0.001", "-c", "1200", before["dst_address"])
    threading.Event().wait(0.4)
    clean.fabric.set_channel(before["path"][0], "down")
    text = pinger.communicate()[0]
    found = re.search(r"(\d+) packets transmitted, (\d+) received", text)
    assert found
    assert int(found.group(1)) - int(found.group(2)) < MAX_OUTAGE_PINGS, text
    after = connection(clean, "cdn", "cell1-compute")
    assert after["state"] == "ACTIVE"
    assert after["path"] != before["path"]
    assert channels(clean)[before["path"][0]]["state"] == "down"
    assert channels(clean)[before["path"][0]]["reserved_mbps"] == 0
    clean.fabric.set_channel(before["path"][0], "up")
    wait_until(lambda: channels(clean)[before["path"][0]]["state"] == "up", 5)
    assert connection(clean, "cdn", "cell1-compute")["path"] == after["path"]


def test_without_a_way_it_is_degraded_with_a_reason_and_comes_back_by_itself(clean: Controller) -> None:
    create(clean, example("enterprise-app"))
    # Above QRA there are three channels of the adjacency; a connection must never sink below.
    secure = [f"cell1-agg1-ch{n}" for n in (3, 4, 5)]
    for channel in secure:
        clean.fabric.set_channel(channel, "down")
    wait_until(lambda: connection(clean, "enterprise-app", "cell1-compute")["state"] == "DEGRADED", 5)
    lost = connection(clean, "enterprise-app", "cell1-compute")
    assert "no feasible path" in lost["reason"]
    assert lost["path"] == []
    assert clean.call("GET", "/v1/slices/enterprise-app")[1]["state"] == "DEGRADED"
    assert connection(clean, "enterprise-app", "cell1-control")["state"] == "ACTIVE"
    assert not datagram_arrives(clean, lost["src"], lost["dst"], lost["tunnel"]["port"], timeout_s=0.3)
    clean.fabric.set_channel(secure[1], "up")
    wait_until(lambda: connection(clean, "enterprise-app", "cell1-compute")["state"] == "ACTIVE", 5)
    back = connection(clean, "enterprise-app", "cell1-compute")
    assert back["path"][0] == secure[1]
    assert datagram_arrives(clean, back["src"], back["dst"], back["tunnel"]["port"])
    assert clean.call("GET", "/v1/slices/enterprise-app")[1]["state"] == "ACTIVE"


def test_an_error_from_one_switch_rolls_back_all_of_it(clean: Controller) -> None:
    bridge = clean.fabric.topology.bridge(PREFIX + "metro1")
    # A table that takes one rule more than it holds, and refuses the next (TABLE_FULL).
    room = len(clean.fabric.rules(PREFIX + "metro1")) + 1
    table = f"flow_limit={room} overflow_policy=refuse"
    run(
        "ovs-vsctl",
        "--",
        "--id=@t",
        "create",
        "Flow_Table",
        *table.split(),
        "--",
        "set",
        "bridge",
        bridge,
        "flow_tables:0=@t",
    )
    try:
        status, problem = clean.call("POST", "/v1/slices", example("enterprise-app"))
        assert status == 503
        assert "metro1: OpenFlow error" in problem["detail"]
        assert "rolled back" in problem["detail"]
        assert clean.call("GET", "/v1/slices/enterprise-app")[0] == 404
    finally:
        run("ovs-vsctl", "clear", "bridge", bridge, "flow_tables")
    assert_bare(clean)
    create(clean, example("enterprise-app"))


@pytest.mark.parametrize("op", ["add", "wait_up"])
def test_a_tunnel_that_refuses_rolls_back_all_of_it(clean: Controller, op: str) -> None:
    clean.agents[PREFIX + "core1"].refuse[op] = "no key"
    status, problem = clean.call("POST", "/v1/slices", example("enterprise-app"))
    assert status == 503
    assert "no key" in problem["detail"]
    clean.agents[PREFIX + "core1"].refuse.clear()
    assert_bare(clean)


def test_edge_case_09_killed_and_restarted_it_repairs_by_difference_while_traffic_flows(clean: Controller) -> None:
    made = create(clean, example("cdn"))
    access = made["cell1-compute"]
    intended = clean.fabric.all_rules()
    site = PREFIX + "agg1"
    bridge = clean.fabric.topology.bridge(site)
    pinger = clean.fabric.popen(access["src"], "ping", "-q", "-i", "0.002", "-c", "1500", access["dst_address"])
    clean.kill()
    backhaul_port = made["compute-core"]["tunnel"]["port"]
    run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", bridge, "priority=7,in_port=3,actions=output:4")
    run("ovs-ofctl", "-O", "OpenFlow13", "del-flows", bridge, f"udp,tp_dst={backhaul_port}")
    assert clean.fabric.all_rules() != intended
    clean.start()
    assert clean.fabric.all_rules() == intended
    assert " 0% packet loss" in pinger.communicate()[0]
    assert connection(clean, "cdn", "cell1-compute") == access
    # What it learnt again is right: the same name is refused, and everything can be given back.
    assert clean.call("POST", "/v1/slices", example("cdn"))[0] == 409


def test_edge_case_06_a_switch_that_comes_back_is_repaired(clean: Controller) -> None:
    made = create(clean, example("cdn"))
    intended = clean.fabric.all_rules()
    site = PREFIX + "agg1"
    bridge = clean.fabric.topology.bridge(site)
    run("ovs-vsctl", "del-controller", bridge)
    wait_until(lambda: clean.call("GET", "/v1/healthz")[1]["switches_connected"] == 4, 5)
    status, problem = clean.call("POST", "/v1/slices", example("enterprise-app"))
    assert (status, "agg1: not connected" in problem["detail"]) == (503, True)
    run("ovs-ofctl", "-O", "OpenFlow13", "del-flows", bridge)
    assert ping(clean, made["cell1-compute"]["src"], made["cell1-compute"]["dst_address"], "-c 1 -W 1") == 0
    run("ovs-vsctl", "set-controller", bridge, f"tcp:127.0.0.1:{clean.fabric.openflow_port}")
    wait_until(lambda: clean.call("GET", "/v1/healthz")[1]["switches_connected"] == 5, 10)
    assert clean.fabric.all_rules() == intended
    assert ping(clean, made["cell1-compute"]["src"], made["cell1-compute"]["dst_address"]) == 3


def test_concurrent_creates_of_one_name_give_one_slice_and_leak_nothing(clean: Controller) -> None:
    statuses: list[int] = []

    def attempt() -> None:
        statuses.append(clean.call("POST", "/v1/slices", example("cdn"))[0])

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] + [409] * 7


def test_events_are_streamed(clean: Controller) -> None:
    stream = http.client.HTTPConnection("127.0.0.1", clean.api_port, timeout=10 * PATIENCE)
    stream.request("GET", "/v1/events")
    response = stream.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.readline() == b": following\n"
    create(clean, example("cdn"))
    seen = b""
    while b'"state": "ACTIVE"' not in seen:
        seen += response.readline()
    assert b"event: slice" in seen
    stream.close()


def test_the_token_is_private_and_needed(clean: Controller) -> None:
    assert (clean.directory / "token").stat().st_mode & 0o777 == 0o600
    for header in ("Bearer wrong", "Basic abc", ""):
        status, problem = clean.call("POST", "/v1/slices", example("cdn"), Authorization=header)
        assert (status, problem["status"]) == (401, 401)
    assert clean.token not in clean.log_path.read_text()


@pytest.mark.parametrize("command", ["del-flows", "mod-flows", "del-meters", "add-flow"])
def test_fault_29_what_is_changed_by_hand_on_a_switch_is_put_right_without_a_probe(
    clean: Controller, command: str
) -> None:
    made = create(clean, example("cdn"))["cell1-compute"]
    site = made["src"]
    before, meters = clean.fabric.all_rules()[site], clean.fabric.meters(site)
    what = {"del-flows": ["in_port=1"], "mod-flows": ["in_port=1,ip,actions=drop"], "del-meters": []}
    added = ["priority=900,in_port=1,actions=drop"]
    run("ovs-ofctl", "-O", "OpenFlow13", command, clean.fabric.topology.bridge(site), *what.get(command, added))
    assert (clean.fabric.all_rules()[site], clean.fabric.meters(site)) != (before, meters), "it has been changed"
    wait_until(lambda: (clean.fabric.all_rules()[site], clean.fabric.meters(site)) == (before, meters), 15)
    assert ping(clean, site, made["dst_address"]) == 3
