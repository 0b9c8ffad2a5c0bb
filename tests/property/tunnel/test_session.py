"""Two sessions under any weather: what is delivered was sent, once; no nonce twice; nothing that arrives raises."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kms.tunnel.protocol.session import Session
from kms.tunnel.protocol.states import Link
from tests.support.tunnel_world import INITIATOR, RESPONDER, Weather, World, both

WEATHER = st.builds(
    Weather,
    loss=st.floats(0.0, 0.5),
    duplication=st.floats(0.0, 0.5),
    delay_s=st.floats(0.0, 0.1),
    jitter_s=st.floats(0.0, 0.3),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a sends", "b sends", "a restarts", "b restarts", "dry", "down", "key service is back"]),
        st.floats(0.0, 1.5),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), WEATHER, STEPS)
def test_any_weather_any_fault(seed: int, weather: Weather, steps: list[tuple[str, float]]) -> None:
    world = World(
        seed=seed,
        weather=weather,
        **both(rekey_s=0.4, lifetime_s=3.0),
    )
    ends, number = [world.a, world.b], 0
    sent: dict[str, list[bytes]] = {"a": [], "b": []}
    world.start()
    for step, pause_s in steps:
        match step.split():
            case [name, "sends"]:
                for _ in range(5):
                    number += 1
                    sent[name].append(b"marker-%d" % number)
                    world.send_payload(world.a if name == "a" else world.b, sent[name][-1])
            case [name, "restarts"]:
                ends.append(world.restart(world.a if name == "a" else world.b))
            case ["dry"]:
                world.keys.is_dry = True
            case ["down"]:
                world.keys.is_down = True
            case _:
                world.keys.is_dry = world.keys.is_down = False
        world.run(pause_s)
    world.keys.is_dry = world.keys.is_down = False

    # Calm returns: whatever has happened, both come up by themselves and carry traffic.
    world.weather = Weather()
    world.run(8.0)
    assert (world.a.session.link, world.b.session.link) == (Link.UP, Link.UP)
    for end in (world.a, world.b):
        world.send_payload(end, b"calm")
        sent[end.name].append(b"calm")
    world.run(0.1)
    assert world.a.delivered[-1][20:] == b"calm"
    assert world.b.delivered[-1][20:] == b"calm"

    for name, others in (("a", "b"), ("b", "a")):
        delivered = [packet[20:] for end in ends if end.name == name for packet in end.delivered]
        assert len(delivered) == len(set(delivered)), "a packet was delivered twice"
        assert set(delivered) <= set(sent[others])
    on_the_wire = [datagram for end in ends for datagram in end.sent]
    assert not any(b"marker-" in datagram for datagram in on_the_wire), "plaintext"


def test_a_hundred_thousand_mutated_datagrams() -> None:
    """Bit flips, cuts, insertions and splices of real datagrams of every kind; both ends stay up and bounded."""
    world = World(seed=7, **both(rekey_s=2.0, lifetime_s=600.0))
    world.start()
    world.run(5.0)
    withheld: set[bytes] = set()  # never arrived unaltered, so that only the integrity check can refuse them
    world.intercept = lambda _, datagram: datagram if datagram[:4] == bytes(4) or datagram[7] % 2 else None
    for n in range(300):
        world.send_payload(world.a, b"x" * (n % 100))
        world.send_payload(world.b, b"y" * (n % 100))
        world.run(0.001)
    world.keys.is_dry = True  # the SA that the corpus was made under stays
    corpus = {end.name: end.sent.copy() for end in (world.a, world.b)}
    withheld.update(*corpus.values())
    rng = random.Random(11)
    delivered = len(world.a.delivered) + len(world.b.delivered)
    for n in range(100_000):
        end = world.a if n % 2 else world.b
        mutated = _mutate(rng, rng.choice(corpus[world.peer(end).name]), corpus[rng.choice("ab")])
        if mutated not in withheld:
            world.inject(end, mutated)
        if n % 100 == 0:
            world.run(0.01)
    assert len(world.a.delivered) + len(world.b.delivered) == delivered
    for end in (world.a, world.b):
        assert end.session.link is Link.UP
        assert end.session.status(world.now).live_sas <= 32
        assert end.session.counters.rx_auth_failures > 1000
        assert end.session.counters.control_malformed > 100
    world.intercept = lambda _, datagram: datagram
    world.send_payload(world.a, b"still here")
    world.run(0.01)
    assert world.b.delivered[-1][20:] == b"still here"


def _mutate(rng: random.Random, datagram: bytes, others: list[bytes]) -> bytes:
    mutated = bytearray(datagram)
    match rng.randrange(5):
        case 0:
            del mutated[rng.randrange(len(mutated) + 1) :]
        case 1:
            at = rng.randrange(len(mutated) + 1)
            mutated[at:at] = rng.randbytes(rng.randrange(1, 300))
        case 2:
            other = rng.choice(others)
            at = rng.randrange(min(len(mutated), len(other)))
            mutated[at:] = other[at:]
        case 3:
            mutated[: rng.randrange(1, 64)] = rng.randbytes(rng.randrange(1, 64))
        case _:
            for _ in range(rng.randrange(1, 8)):
                mutated[rng.randrange(len(mutated))] ^= 1 << rng.randrange(8)
    return bytes(mutated)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400), st.booleans())
def test_arbitrary_datagrams(datagram: bytes, is_control: bool) -> None:
    for settings_of_end in (INITIATOR, RESPONDER):
        session = Session(settings_of_end, bytes(8))
        session.start(0.0)
        assert session.inbound.receive_datagram(bytes(4) + datagram if is_control else datagram, 0.0) is None
