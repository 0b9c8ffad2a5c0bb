"""Whatever switches answer, or do not: no send stays in the table, and every error reaches its owner."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable

import pytest

from controller.forwarding.items import Item
from controller.operations.switch_sync import AGAIN_S, ATTEMPTS, SwitchSync
from scripts.testbed.paths import REPOSITORY

# In a process of its own: Ryu wants eventlet, and eventlet patches the whole process.
PROGRAM = """
import controller.__main__
import random, sys
from types import SimpleNamespace
import eventlet
from ryu.ofproto import ofproto_v1_3 as of13, ofproto_v1_3_parser as parser13
from controller.forwarding.intended import Changes
from controller.forwarding.items import Bucket, Group, GroupType, Meter, Output, Rule
from controller.southbound.openflow import CLAIM_DEADLINE_S, POSTED_DEADLINE_S, Switchboard
from topologies.catalog import metro_ring

rng = random.Random(int(sys.argv[1]))
SITES = metro_ring().site_names
now, due = 0.0, []

class Timer:
    def __init__(self, at, call):
        self.at, self.call = at, call
        due.append(self)

    def cancel(self):
        if self in due:
            due.remove(self)

def later(delay_s, function, *arguments):
    return Timer(now + delay_s, lambda: function(*arguments))

def pass_time(seconds):
    global now
    now += seconds
    for timer in [t for t in due if t.at <= now]:
        timer.cancel()
        timer.call()

class Datapath(SimpleNamespace):
    def set_xid(self, message):
        self.xid += 1
        message.set_xid(self.xid)

    def send(self, octets):
        if not self.is_open:
            return False
        while octets:
            kind, length, xid = octets[1], int.from_bytes(octets[2:4], "big"), int.from_bytes(octets[4:8], "big")
            unanswered.append((self.site, xid, kind))
            octets = octets[length:]
        self.writes += 1
        return True

unanswered, past = [], []  # (site, xid, type) that switches have not dealt with yet, or have
reported, raised, errors = [], [], []
board = Switchboard(metro_ring(), later)
board.report = reported.append
waiting, waiters, datapaths = [], [], {}

def connect(site):
    datapaths[site] = Datapath(
        ofproto=of13, ofproto_parser=parser13, id=1, xid=rng.randrange(1 << 31), site=site, is_open=True, writes=0)
    board.connect(site, datapaths[site])
    if rng.random() < 0.9:  # else it is still being compared, and takes nothing
        board.set_ready(site)

def changes():
    found = {}
    for site in rng.sample(SITES, rng.randint(1, 3)):
        n = rng.randint(1, 50)
        items = (Meter(site, n, 1, 1), Group(site, n, GroupType.ALL, (Bucket((Output(2),)),)),
                 Rule(site, 1, (), (), cookie=n << 8))
        found[site] = Changes(add=items) if rng.random() < 0.7 else Changes(remove=items)
    return found

def refuse(site, xid, kind):
    added = {of13.OFPT_METER_MOD: (of13.OFPET_METER_MOD_FAILED, of13.OFPMMFC_METER_EXISTS),
             of13.OFPT_GROUP_MOD: (of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_GROUP_EXISTS)}
    if kind in added and rng.random() < 0.3:
        writes = datapaths[site].writes if site in datapaths else 0
        told = len(reported)
        held = board._by_xid.get((site, xid))
        faults = len(held.faults) if held else 0
        board.error(site, xid, *added[kind])
        # It is modified instead, or an error as any other.
        modified = site in datapaths and datapaths[site].writes > writes
        assert modified or len(reported) > told or len(held.faults) > faults
        return
    number = 1000 + len(errors)  # each is told apart by its code
    errors.append((site, f"code {number} "))
    board.error(site, xid, of13.OFPET_FLOW_MOD_FAILED, number)

def answer():
    if not unanswered:
        return
    # Mostly in their order, now and then not.
    at = 0 if rng.random() < 0.9 else rng.randrange(len(unanswered))
    site, xid, kind = unanswered.pop(at)
    past.append((site, xid, kind))
    if rng.random() < 0.05:
        return  # lost
    for _ in range(2 if rng.random() < 0.1 else 1):
        if kind == of13.OFPT_BARRIER_REQUEST:
            board.barrier_reply(site, xid)
        elif rng.random() < 0.2:
            refuse(site, xid, kind)

def late():
    if past:
        site, xid, kind = rng.choice(past)
        refuse(site, xid, kind) if rng.random() < 0.5 else board.barrier_reply(site, xid)

def send():
    pending = board.send(changes())
    chance = rng.random()
    if chance < 0.1:
        return  # its sender has died: nobody ever comes for it
    if chance < 0.3:
        waiters.append(eventlet.spawn(lambda: raised.extend(pending.wait(0.02))))
        eventlet.sleep(0)
    else:
        waiting.append(pending)

def wait():
    if waiting:
        raised.extend(waiting.pop(rng.randrange(len(waiting))).wait(0.0))

def disconnect():
    site = rng.choice(SITES)
    if site in datapaths:
        datapath = datapaths.pop(site)
        datapath.is_open = False
        if rng.random() < 0.3:
            datapaths[site] = datapath  # closed, but the event is still to come
        else:
            board.disconnect(site, datapath)
    else:
        connect(site)

def reconnect():
    for site in SITES:
        if site not in datapaths or not datapaths[site].is_open:
            connect(site)

for site in SITES:
    connect(site)
OPERATIONS = {
    send: 12, lambda: board.post(changes()): 10, answer: 200, late: 4, wait: 9, disconnect: 1, reconnect: 2,
    lambda: pass_time(rng.choice((0.1, 1.0, POSTED_DEADLINE_S))): 3,
    lambda: board.hold_ports({rng.choice(SITES): {2: True}}).wait(0.0): 1, lambda: eventlet.sleep(0): 4,
}
most = 0
for operation in rng.choices(list(OPERATIONS), list(OPERATIONS.values()), k=10_000):
    operation()
    most = max(most, len(board._by_xid))
    assert not any(t.is_settled for t in board._by_xid.values()), "settled, and still in the table"
for waiter in waiters:
    waiter.wait()
while waiting:
    wait()
pass_time(CLAIM_DEADLINE_S)
assert most > 0 and not board._by_xid, board._by_xid
assert not due, "a timer is left"
# Twice only where the owner came later than anybody waits, which some here do.
owned = [(f.site, f.message + " ") for f in (*raised, *reported)]
for site, code in errors:
    assert any(where == site and code in message for where, message in owned), (site, code)
assert all(f.site in SITES and f.message for f in reported)
print(len(errors), len(raised), len(reported), most)

# A post that is refused is reported once, with the item, when the barrier comes; it cannot be waited for.
reconnect()
board.set_ready(SITES[0])
reported.clear(), unanswered.clear()
assert board.post({SITES[0]: Changes(add=(Rule(SITES[0], 1, (), (), cookie=0x700),))}) is None
(_, rule, _), (_, barrier, _) = unanswered
board.error(SITES[0], rule, of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
for _ in range(2):
    board.barrier_reply(SITES[0], barrier)
(fault,) = reported
assert (fault.site, fault.cookie) == (SITES[0], 0x700) and "rule with cookie 0x700" in fault.message, fault
assert not due and not board._by_xid

# What is awaited is raised to the waiter, and not reported as well.
reported.clear(), unanswered.clear()
pending = board.send({SITES[0]: Changes(add=(Rule(SITES[0], 1, (), (), cookie=0x700),))})
(_, rule, _), (_, barrier, _) = unanswered
board.error(SITES[0], rule, of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
board.barrier_reply(SITES[0], barrier)
assert not board._by_xid, "settled without a waiter"
assert [f.cookie for f in pending.wait(1.0)] == [0x700] and not reported and not due

# A question that is refused is answered by that, at once.
def ask():
    try:
        board.ports(SITES[0])
    except Exception as error:
        return str(error)

datapaths[SITES[0]].send_msg = lambda message: None
asked = eventlet.spawn(ask)
eventlet.sleep(0)
board.error(SITES[0], datapaths[SITES[0]].xid, of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_MULTIPART)
assert "OpenFlow error" in asked.wait() and not reported and not board._answers
print("fine")
"""


@pytest.mark.parametrize("seed", range(3))
def test_ten_thousand_operations_leave_nothing_behind_and_no_error_unread(seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(seed)],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["fine"]), done.stderr[-4000:]


class Doubted:
    """A switch that is not right for so many looks."""

    def __init__(self, wrong_looks: int) -> None:
        self.wrong_looks, self.looks = wrong_looks, 0
        self.is_there = True
        self.due: list[tuple[float, Callable[[str], None], str]] = []
        self.welcome = SwitchSync(self, self, lambda site: None, lambda *call: self.due.append(call))

    def is_connected(self, site: str) -> bool:
        return self.is_there

    def installed(self, site: str) -> Iterable[Item]:
        self.looks += 1
        return []

    def is_ready(self, site: str) -> bool:
        return self.is_there

    def set_ready(self, site: str) -> None:
        raise AssertionError("it was ready all the time")

    def reconcile(self, site: str, read: Callable[[], Iterable[Item]]) -> bool:
        read()
        return self.looks > self.wrong_looks

    def retry(self) -> None:
        raise AssertionError("nothing has come back")

    def pass_time(self) -> None:
        due, self.due = self.due, []
        for after_s, call, site in due:
            assert after_s == AGAIN_S
            call(site)


@pytest.mark.parametrize("wrong_looks", [0, 1, ATTEMPTS, 2 * ATTEMPTS + 1])
def test_a_switch_on_which_something_failed_is_looked_at_until_it_is_right(wrong_looks: int) -> None:
    switch = Doubted(wrong_looks)
    for _ in range(5):
        switch.welcome.doubt("agg1")
    assert (switch.looks, len(switch.due)) == (0, 1), "one look for many faults, and not while traffic is moved"
    while switch.due:
        switch.pass_time()
    assert switch.looks == wrong_looks + 1


def test_one_that_has_gone_is_looked_at_by_whoever_greets_it() -> None:
    switch = Doubted(1)
    switch.welcome.doubt("agg1")
    switch.is_there = False
    switch.pass_time()
    assert (switch.looks, switch.due) == (0, [])
