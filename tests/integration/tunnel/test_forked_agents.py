"""Agents forked from one process: each is a process of its own, in its host, as if it had been started alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kms.tunnel.fork_server.orders import Order, decode_answer, send_order
from scripts.errors import EnvironmentLacks
from scripts.testbed.life.agents import Agent, AgentStarter, adopting
from scripts.testbed.paths import REPOSITORY
from scripts.testbed.processes import end, tail, wait_ready
from scripts.testbed.run_record import Process
from tests.support.tunnel_lab import ControlClient, Lab, Pair, is_listening, loss_pct
from tests.support.wait import PATIENCE, wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_tun]
START_S = 60.0
HOSTS = "ab"


class Started:
    """A starter, and who it has started in a lab's hosts."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.starter = AgentStarter(folder / "fork-server.log")
        self.agents: dict[str, Agent] = {}
        self.inside = {
            name: subprocess.Popen(["ip", "netns", "exec", lab.ns(name), "sleep", "infinity"]) for name in HOSTS
        }

    def open(self) -> None:
        server = self.starter.open()
        wait_ready("fork server", server, self.folder / "fork-server.log", self.starter.is_ready, START_S * PATIENCE)

    def log(self, name: str) -> Path:
        return self.folder / f"agent-{name}.log"

    def start(self, name: str, append: bool = False) -> Agent:
        path = self.lab.socket_path(name)
        agent = self.starter.start(
            f"tunnel-{name}", self.lab.config_path(name), self.log(name), self.inside[name].pid, append
        )
        self.agents[name] = agent
        wait_ready(name, agent, self.log(name), lambda: is_listening(path), START_S)
        return agent

    def close(self) -> None:
        for agent in self.agents.values():
            end(Process(agent.pid, _started(agent.pid)))
        for process in self.inside.values():
            process.kill()
            process.wait()
        self.starter.close()
        if self.starter.server is not None:
            self.starter.server.wait(10.0 * PATIENCE)


def _started(pid: int) -> int:
    try:
        return Process.of(pid).started
    except ProcessLookupError:
        return 0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("forked"))
    try:
        lab.build()
        lab.start_kme()
        yield lab
    finally:
        lab.tear_down()


@pytest.fixture
def started(lab: Lab, tmp_path: Path) -> Iterator[Started]:
    started = Started(lab, tmp_path)
    try:
        started.open()
        for name in HOSTS:
            started.start(name)
        yield started
    finally:
        started.close()


def arguments(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")


def namespace(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")


def descriptors(pid: int) -> list[str]:
    return [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]


def test_each_is_a_process_of_its_own_in_its_host(started: Started) -> None:
    pids = {name: agent.pid for name, agent in started.agents.items()}
    assert namespace(pids["a"]) != namespace(pids["b"])
    for name, pid in pids.items():
        assert namespace(pid) == namespace(started.inside[name].pid)
        expected = [sys.executable, "-m", "kms.tunnel", "--config", str(started.lab.config_path(name))]
        assert arguments(pid) == expected
        assert Path(f"/proc/{pid}/comm").read_text().strip() == f"tunnel-{name}"
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        assert int(stat[1]) == os.getpid(), "whoever supervises waits for it"
        assert int(stat[3]) == os.getsid(pid) == pid, "no terminal and no group of its siblings'"
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
    capabilities = {
        line for pid in pids.values() for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("Cap")
    }  # fmt: skip
    mine = {line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Cap")}
    assert capabilities == mine


def test_none_has_a_descriptor_of_another(started: Started) -> None:
    assert started.starter.server is not None
    everyone = [started.starter.server.pid, *(agent.pid for agent in started.agents.values())]
    ours = [{d for d in descriptors(pid) if d != "/dev/null" and not d.startswith("anon_inode")} for pid in everyone]
    assert not ours[1] & ours[2]
    assert not ours[0] & (ours[1] | ours[2])
    assert not any("/ns/net" in d or d.startswith("net:") for found in ours for d in found)


def test_they_carry_traffic(started: Started) -> None:
    clients = {name: ControlClient(started.lab.socket_path(name)) for name in HOSTS}
    started.lab.clients.update(clients)
    pair = Pair(started.lab, 1, {})
    pair.add()
    pair.wait_up()
    assert loss_pct(pair.ping("-c", "10", "-i", "0.01")) == 0
    ids = {started.lab.clients[name].do("watch", since=None, timeout_s=0.0)["token"].split(".")[0] for name in HOSTS}
    assert len(ids) == 2, "an agent's name for itself is random"
    pair.remove()
    for client in clients.values():
        client.close()
    started.lab.clients.clear()


def test_no_two_draw_the_same_numbers(lab: Lab, tmp_path: Path) -> None:
    starter = AgentStarter(tmp_path / "numbers.log", "tests.support.forked_numbers")
    server = starter.open()
    agents = []
    try:
        wait_ready("numbers", server, tmp_path / "numbers.log", starter.is_ready, START_S)
        logs = [tmp_path / f"{n}.log" for n in range(4)]
        for n, log in enumerate(logs):
            agents.append(starter.start(f"numbers-{n}", tmp_path / "none", log, os.getpid(), False))
            wait_until(lambda log=log: log.read_text().endswith("}\n"), 10.0)  # type: ignore[misc]
        drawn = [json.loads(log.read_text()) for log in logs]
        for generator in drawn[0]:
            assert len({each[generator] for each in drawn}) == len(drawn), generator
    finally:
        for agent in agents:
            os.kill(agent.pid, signal.SIGKILL)
            agent.wait()
        starter.close()
        server.wait()


def test_one_that_is_killed_or_stopped_disturbs_no_other_and_comes_back(started: Started) -> None:
    agent, other = started.agents["a"], ControlClient(started.lab.socket_path("b"))
    os.kill(agent.pid, signal.SIGSTOP)
    assert other.do("list") == {"connections": []}
    os.kill(agent.pid, signal.SIGKILL)
    assert agent.wait() == -signal.SIGKILL
    assert other.do("list") == {"connections": []}
    assert started.start("a", append=True).pid != agent.pid
    assert started.log("a").read_text().count("listens on") == 2
    assert started.agents["b"].poll() is None
    other.close()


def test_a_signal_ends_one_cleanly_and_its_status_is_known(started: Started) -> None:
    agent = started.agents["a"]
    os.kill(agent.pid, signal.SIGTERM)
    assert agent.wait() == 0
    assert not started.lab.socket_path("a").exists()
    assert "agent of a stops" in started.log("a").read_text()
    assert started.agents["b"].poll() is None


def test_agents_outlive_the_fork_server_and_another_makes_more(started: Started) -> None:
    server = started.starter.server
    assert server is not None
    server.kill()
    server.wait()
    assert not started.starter.is_alive()
    assert all(agent.poll() is None for agent in started.agents.values())
    with pytest.raises(EnvironmentLacks, match="tunnel-a was not started"):
        started.start("a")
    started.open()
    os.kill(started.agents["a"].pid, signal.SIGKILL)
    started.agents["a"].wait()
    started.start("a")


def test_a_namespace_that_cannot_be_entered_is_reported(started: Started, tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    config = started.lab.config_path("a")
    with pytest.raises(EnvironmentLacks, match=r"tunnel-x was not started: .*No such file"):
        started.starter.start("tunnel-x", config, tmp_path / "x.log", gone.pid, False)
    connection = started.starter._orders
    assert connection is not None
    with adopting(), open(os.devnull, "rb") as none, open(tmp_path / "x.log", "wb") as log:
        send_order(connection, Order("tunnel-x", config, none.fileno(), log.fileno()))
        answer = decode_answer(connection.recv(65536))
    assert answer.pid == 0
    assert "namespace cannot be entered: Invalid argument" in answer.error
    os.kill(started.agents["a"].pid, signal.SIGTERM)
    started.agents["a"].wait()
    started.start("a")


def test_a_configuration_that_is_wrong_ends_it_with_a_reason(started: Started, tmp_path: Path) -> None:
    config, log = tmp_path / "wrong.json", tmp_path / "wrong.log"
    config.write_text('{"host": "a", "colour": "red"}')
    agent = started.starter.start("tunnel-x", config, log, started.inside["a"].pid, False)
    assert agent.wait() == 2
    assert "colour" in tail(log) or "Field required" in tail(log)


def test_all_end_with_their_supervisor(lab: Lab, tmp_path: Path) -> None:
    inside = {name: subprocess.Popen(["ip", "netns", "exec", lab.ns(name), "sleep", "infinity"]) for name in HOSTS}
    hosts = [f"{name}={process.pid}" for name, process in inside.items()]
    argv = [sys.executable, "-m", "tests.support.forked_agents", str(lab.directory), *hosts]
    supervisor = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=REPOSITORY)
    try:
        assert supervisor.stdout is not None
        processes = [Process.of(int(pid)) for pid in supervisor.stdout.readline().split()]
        assert len(processes) == 3
        wait_until(lambda: all(is_listening(lab.socket_path(name)) for name in HOSTS), 10.0)
        assert all(process.is_alive() for process in processes)
    finally:
        supervisor.kill()
        supervisor.communicate()
        for process in inside.values():
            process.kill()
            process.wait()
    wait_until(lambda: not any(process.is_alive() for process in processes), 10.0)
    assert not any(lab.socket_path(name).exists() for name in HOSTS), "each has cleaned up behind itself"


def test_no_secret_is_in_what_they_are_forked_from(started: Started) -> None:
    """The keys of certificates are read after the fork: by the agent whose they are, and by nobody else."""
    assert started.starter.server is not None
    keys = {name: (started.lab.directory / f"sae-{name}.key").read_text().splitlines()[1].encode() for name in HOSTS}
    for key in keys.values():
        assert _holds(os.getpid(), key), "what is there is found"
        assert not _holds(started.starter.server.pid, key)


def _holds(pid: int, octets: bytes) -> bool:
    """Whether they stand in what a process may write to of its memory."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            place, rights, *_ = line.split()
            if not rights.startswith("rw") or "[v" in line:
                continue
            start, stop = (int(end, 16) for end in place.split("-"))
            memory.seek(start)
            try:
                if octets in memory.read(stop - start):
                    return True
            except OSError:
                continue
    return False
