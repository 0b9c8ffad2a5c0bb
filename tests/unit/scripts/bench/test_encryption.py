"""What the comparison of hosts and cards computes from the KMS' ledger, from pings, and from frames on a line."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import pytest

from scripts.bench.encryption import eavesdropper, key_rates, round_trips
from scripts.bench.encryption.key_rates import KeyRate
from scripts.bench.encryption.round_trips import RoundTrips, interval
from scripts.bench.encryption.run import Results, figures, require_places
from scripts.bench.encryption.sight import Frames, Sight, Told, look
from scripts.bench.encryption.slices import keyed_slice, qkd_channel, two_pairs_slice
from scripts.errors import WrongRequest
from scripts.measure.capture.plaintext_search import new_marker
from topologies.catalog import load
from topologies.spec import EncryptionMode, SecurityClass

CHANNEL, HOST = EncryptionMode.CHANNEL, EncryptionMode.HOST
MARKER = new_marker()
TOLD = Told(frozenset(f"172.20.0.{n}" for n in range(2, 6)), connections=2, lengths=2, each=10)


def delivered(at: float, sae: str, source: str = "qkd", event: str = key_rates.DELIVERED) -> dict[str, Any]:
    return {"at": at, "event": event, "key_source": source, "size": 256, "sae": sae}


def test_keys_are_counted_once_by_who_took_them_and_no_others() -> None:
    entries = [
        delivered(10.0, "card-agg1"), delivered(12.9, "sae-agg1"), delivered(11.0, "sae-agg1", "qkd+qra"),
        delivered(11.0, "sae-agg1", event="fetched-by-slave"),  # the same key at its other end
        delivered(11.0, "sae-agg1", "qra"), delivered(9.9, "card-agg1"), delivered(13.0, "card-agg1"),
    ]  # fmt: skip
    rate = key_rates.rate_of(entries, 5, 10.0, 13.0)
    assert (rate.slices, rate.by_cards_bps, rate.by_hosts_bps) == (5, 256 / 3, 512 / 3)
    assert rate.bps == 256


def rates(per_slice: float, base: float) -> list[KeyRate]:
    return [KeyRate(n, 30.0, base, per_slice * n) for n in (0, 2, 4, 8)]


def test_the_slope_is_what_a_slice_takes() -> None:
    assert key_rates.slope(rates(85.0, 170.0)) == pytest.approx(85.0)
    assert key_rates.slope(rates(0.0, 170.0)) == 0.0
    assert key_rates.slope(rates(1.0, 1.0)[:1]) == 0.0


def test_a_demand_that_grows_where_it_must_not_is_told_and_the_other_way_round() -> None:
    good = Results(rates={CHANNEL: rates(0.0, 170.0), HOST: rates(85.3, 0.0)})
    assert good.wrong == []
    (grows,) = Results(rates={CHANNEL: rates(85.3, 0.0)}).wrong
    (stays,) = Results(rates={HOST: rates(0.0, 170.0)}).wrong
    assert grows.startswith("channel:")
    assert stays.startswith("host:")


def sight(is_readable: bool) -> Sight:
    return Sight(0, 1, 0, 1.0, 1.0, is_readable)


def test_a_sealed_payload_that_is_readable_is_told_and_one_that_nobody_seals_is_not() -> None:
    readable = {case.name: sight(True) for case in eavesdropper.CASES}
    told = Results(sights=readable).wrong
    assert len(told) == len(eavesdropper.CASES) - 1
    assert not any(what.startswith("nobody seals") for what in told)


def test_replies_are_told_apart_by_their_numbers() -> None:
    text = "64 bytes from 10.200.0.1: icmp_seq=1 ttl=64 time=1.25 ms\n64 bytes from x: icmp_seq=3 ttl=64 time=0.9 ms\n"
    assert round_trips.parse(text) == {1: 1.25, 3: 0.9}


def test_an_interval_has_its_mean_in_the_middle_and_shrinks_with_the_number_of_values() -> None:
    few, many = interval([1.0, 2.0] * 8), interval([1.0, 2.0] * 15)
    assert few.mean_ms == many.mean_ms == 1.5
    assert 0 < many.half_ms < few.half_ms
    assert not few.has_zero
    assert interval([-1.0, 1.0] * 15).has_zero
    # Of n values from 1 to 16: mean 8.5, s 4.761, t(15) 2.131.
    assert interval([float(n) for n in range(1, 17)]).half_ms == pytest.approx(2.131 * 4.761 / 4, rel=1e-3)


def test_the_difference_is_taken_block_by_block_so_that_what_hits_both_does_not_count() -> None:
    drift = [1.0 + 0.01 * n for n in range(300)]
    trips = RoundTrips({"none": tuple(drift), "qkd": tuple(t + 0.2 for t in drift)})
    assert trips.difference.mean_ms == pytest.approx(0.2)
    assert trips.difference.half_ms == pytest.approx(0.0, abs=1e-9)
    assert trips.interval("none").half_ms > 0.1
    found = figures(Results(trips={CHANNEL: trips}))
    assert found["round_trip.channel.qkd_less_none_ms"] == pytest.approx(0.2)


def frame(source: int, destination: int, port: int, payload: bytes) -> bytes:
    udp = struct.pack("!HHHH", port, port, 8 + len(payload), 0) + payload
    ends = bytes([172, 20, 0, source]), bytes([172, 20, 0, destination])
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, *ends)
    return bytes(12) + struct.pack("!H", 0x0800) + head + udp


def test_whoever_taps_clear_traffic_sees_everything() -> None:
    busy: Frames = [
        (0.0, frame(2, to, port, MARKER * size)) for to, port in ((3, 1), (4, 2)) for size in (1, 5) for _ in range(10)
    ]
    seen = look([], busy, 1.0, 1.0, TOLD, MARKER)
    assert (seen.host_pairs, seen.flows, seen.lengths, seen.is_readable) == (2, 2, 2, True)
    assert seen.tells_times


def test_between_two_cards_nobody_is_seen_to_talk() -> None:
    busy: Frames = [(0.0, frame(101, 102, 4500, b"\1" * size)) for size in (100, 500) for _ in range(10)]
    seen = look([], busy, 1.0, 1.0, TOLD, MARKER)
    assert (seen.host_pairs, seen.flows, seen.lengths, seen.is_readable) == (0, 1, 2, False)


def test_lengths_that_are_there_all_the_time_tell_nothing() -> None:
    full: Frames = [(0.0, frame(2, 3, 20000, b"\1" * 1400)) for _ in range(100)]
    seen = look(full, full, 1.0, 1.0, TOLD, MARKER)
    assert seen.lengths == 0
    assert not seen.tells_times


def test_the_table_has_a_column_for_each_case() -> None:
    columns, rows = eavesdropper.table({"host": sight(False), "clear": sight(True)})
    assert columns == ("to be seen", "host", "clear")
    assert all(len(row) == len(columns) for row in rows)
    assert rows[0] == ("payload", "no", "readable")


@pytest.mark.parametrize("name", ["ukqntel", "metro-ring"])
def test_shipped_networks_have_a_place_for_it(name: str) -> None:
    topology = load(name)
    require_places(topology)
    channel = qkd_channel(topology)
    near, far = two_pairs_slice(topology, "s", 1.0, {"security": "none"})["connections"]
    assert {near["from"], near["to"]} == set(channel.ends)
    assert far["to"] not in channel.ends
    assert channel.id in far["include_channels"]
    assert {near["security"], far["security"]} == {"none"}
    assert keyed_slice(topology, "k")["connections"][0]["security"] == SecurityClass.QKD.label


def test_a_network_without_qkd_has_none() -> None:
    topology = load("ukqntel")
    clear = tuple(c for c in topology.channels if c.security is not SecurityClass.QKD)
    with pytest.raises(WrongRequest, match="no channel of class qkd"):
        require_places(replace(topology, channels=clear))
