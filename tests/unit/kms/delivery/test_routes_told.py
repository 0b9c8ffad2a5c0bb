"""What a key says of its way: never `direct` once a trusted node has seen it, whichever copy came by it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from kms.delivery.requests import DeliveredKey
from kms.keys.key import RelayKind
from tests.unit.kms.delivery.test_service import World

DIRECT, RELAYED = RelayKind.DIRECT, RelayKind.RELAYED
QKD_SOURCES = ("qkd", "qkd+qra")


def play(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        await scenario(World())

    asyncio.run(run())


def told(keys: Sequence[DeliveredKey]) -> set[RelayKind | None]:
    return {key.route for key in keys}


@pytest.mark.parametrize("source", QKD_SOURCES)
@pytest.mark.parametrize("size", [256, 512])
@pytest.mark.parametrize("order", [("sae-b", "sae-c"), ("sae-c", "sae-b")])
def test_fault_13_a_multicast_says_relayed_to_everybody_when_one_copy_was(
    source: str, size: int, order: tuple[str, str]
) -> None:
    """From a, b is one section away and c two: the site between them is trusted with the key."""

    async def scenario(world: World) -> None:
        keys = await world.enc("a", "sae-a", order[0], source, also=order[1:], number=2, size=size)
        assert told(keys) == {RELAYED}
        for slave in order:
            assert told(await world.dec(slave[-1], slave, "sae-a", keys)) == {RELAYED}

    play(scenario)


@pytest.mark.parametrize("source", QKD_SOURCES)
@pytest.mark.parametrize(("site", "route"), [("a", DIRECT), ("b", DIRECT), ("c", RELAYED)])
def test_fault_13_a_key_that_follows_its_slave_says_how_it_came(source: str, site: str, route: RelayKind) -> None:
    async def scenario(world: World) -> None:
        keys = await world.enc("a", "sae-a", "late", source, number=3)
        assert told(keys) == {None}  # nobody knows yet
        await world.service.admit(site, "late", None)
        assert told(await world.dec(site, "late", "sae-a", keys)) == {route}

    play(scenario)


def test_fault_13_who_fetches_after_a_copy_was_relayed_is_told() -> None:
    async def scenario(world: World) -> None:
        keys = await world.enc("a", "sae-a", "sae-b", "qkd", also=("late", "roamer"), number=2)
        await world.service.admit("c", "late", None)
        assert told(await world.dec("c", "late", "sae-a", keys)) == {RELAYED}
        assert told(await world.dec("b", "sae-b", "sae-a", keys)) == {RELAYED}
        await world.service.admit("a", "roamer", None)
        assert told(await world.dec("a", "roamer", "sae-a", keys)) == {RELAYED}

    play(scenario)


def test_fault_13_two_direct_copies_make_no_relay() -> None:
    async def scenario(world: World) -> None:
        keys = await world.enc("b", "sae-b", "sae-a", "qkd", also=("sae-c",), number=2)
        assert told(keys) == {DIRECT}
        for slave in ("sae-a", "sae-c"):
            assert told(await world.dec(slave[-1], slave, "sae-b", keys)) == {DIRECT}

    play(scenario)


@pytest.mark.parametrize("source", ["dh", "qra"])
def test_fault_13_what_never_crossed_a_section_is_direct(source: str) -> None:
    async def scenario(world: World) -> None:
        keys = await world.enc("a", "sae-a", "sae-b", source, also=("sae-d",))
        assert told(keys) == {DIRECT}
        assert told(await world.dec("d", "sae-d", "sae-a", keys)) == {DIRECT}

    play(scenario)
