"""What other tools print, read exactly; texts are verbatim from iputils 20221126 and iperf 3.12."""

import json

import pytest

from scripts.measure.connection import connections_of
from scripts.measure.errors import ApiError, MeasurementError
from scripts.measure.programs.iperf import parse_iperf
from scripts.measure.programs.ping import parse_ping
from scripts.measure.rekey_load import OVERHEAD_BYTES, PAYLOAD_BYTES, packet_rate
from scripts.measure.slices import refusal
from topologies.spec import SecurityClass

PING = """PING 10.200.0.1 (10.200.0.1) from 10.200.0.0 : 56(84) bytes of data.

--- 10.200.0.1 ping statistics ---
25 packets transmitted, {received} received, {loss}% packet loss, time 1203ms
"""
TIMES = "rtt min/avg/max/mdev = 0.309/0.631/1.230/0.202 ms\n"


def test_ping_that_lost_nothing():
    result = parse_ping(PING.format(received=25, loss=0) + TIMES)
    assert (result.sent, result.received, result.loss_pct) == (25, 25, 0.0)
    assert (result.min_ms, result.avg_ms, result.max_ms) == (0.309, 0.631, 1.230)


def test_ping_loss_comes_from_the_counts_not_from_the_rounded_percentage():
    assert parse_ping(PING.format(received=24, loss=4) + TIMES).loss_pct == pytest.approx(4.0)


def test_ping_without_any_reply_has_no_times():
    result = parse_ping(PING.format(received=0, loss=100).replace("time", "+25 errors, 100% packet loss, time"))
    assert result.loss_pct == 100.0
    assert result.avg_ms is None


@pytest.mark.parametrize("text", ["", "ping: bind: Cannot assign requested address\n"])
def test_ping_that_could_not_start_says_why(text):
    with pytest.raises(MeasurementError, match=text.strip() or "nothing"):
        parse_ping(text)


def test_iperf_figure_is_what_the_receiver_got():
    end = {
        "sum_sent": {"bits_per_second": 9.9e6, "retransmits": 12},
        "sum_received": {"bits_per_second": 8.25e6},
    }
    result = parse_iperf(json.dumps({"start": {}, "end": end}))
    assert result.received_mbps == pytest.approx(8.25)
    assert result.retransmits == 12


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"error": "unable to connect to server: Connection refused"}', "Connection refused"),
        ("iperf3: parameter error", "no JSON"),
        ('{"end": {}}', "sum_received"),
        ('{"end": []}', "lacks"),
    ],
)
def test_iperf_that_failed_says_why(text, why):
    with pytest.raises(MeasurementError, match=why):
        parse_iperf(text)


ANSWER = {
    "name": "cell1-compute", "role": "access", "src": "cell1", "dst": "metro1", "src_address": "10.200.0.24",
    "dst_address": "10.200.0.25", "required": "qra", "key_source": "qra", "path": ["cell1-agg1-ch3"], "state": "ACTIVE",
}  # fmt: skip
REQUEST = {"name": "enterprise-app", "connections": {"access": {"security": "qra", "bandwidth_mbps": 10}}}


def test_connection_from_the_api():
    (connection,) = connections_of({"connections": [ANSWER]}, REQUEST)
    assert connection.id == "enterprise-app/cell1-compute"
    assert connection.tunnel_port == 20012  # the twelfth pair of addresses
    assert connection.required_class is SecurityClass.QRA
    assert connection.bandwidth_mbps == 10
    assert connection.is_encrypted


@pytest.mark.parametrize("required", [["qkd", "qra"], "qkd+qra"])
def test_hybrid_needs_channels_of_its_strongest_part(required):
    (connection,) = connections_of({"connections": [ANSWER | {"required": required}]}, REQUEST)
    assert connection.required_class is SecurityClass.QKD


@pytest.mark.parametrize("gone", ["path", "src_address", "required", "role"])
def test_answer_that_lacks_a_field_is_named(gone):
    with pytest.raises(ApiError, match=gone):
        connections_of({"connections": [{k: v for k, v in ANSWER.items() if k != gone}]}, REQUEST)


def test_bandwidth_is_that_of_the_connections_role():
    request = {"name": "s", "connections": {"control": {"bandwidth_mbps": 1}, "backhaul": {"bandwidth_mbps": 20}}}
    answers = [ANSWER | {"role": "control"}, ANSWER | {"role": "backhaul"}]
    assert [c.bandwidth_mbps for c in connections_of({"connections": answers}, request)] == [1, 20]
    with pytest.raises(ApiError, match="uplink"):
        connections_of({"connections": [ANSWER | {"role": "uplink"}]}, request)


def test_bandwidth_of_a_listed_connection_is_that_under_its_name():
    request = {"name": "s", "connections": [{"name": "up", "bandwidth_mbps": 3}, {"name": "down", "bandwidth_mbps": 4}]}
    answers = [ANSWER | {"name": "down", "role": None}]
    assert [c.bandwidth_mbps for c in connections_of({"connections": answers}, request)] == [4]
    with pytest.raises(ApiError, match="other"):
        connections_of({"connections": [ANSWER | {"name": "other", "role": None}]}, request)


@pytest.mark.parametrize(
    ("status", "answer", "is_transient"),
    [
        (422, {"code": "key_rate_lacking", "detail": "no feasible path", "reasons": []}, True),
        (422, {"code": "key_rate_unknown", "detail": "no feasible path", "reasons": []}, True),
        (422, {"code": "infeasible", "detail": "no feasible path", "reasons": []}, False),
        (422, {"code": "invalid_request", "detail": "the key of field compute is unknown"}, False),
        (409, {"code": "duplicate_slice", "detail": "slice monkey exists"}, False),
        (503, {"detail": "a tunnel agent does not answer; rolled back"}, True),
    ],
)
def test_only_what_may_pass_is_tried_again(status, answer, is_transient):
    refused = refusal("creating slice s", status, answer)
    assert refused.is_transient is is_transient
    assert str(refused).startswith(f"creating slice s: HTTP {status}: {answer['detail']}")


@pytest.mark.parametrize("mbps", [0.5, 1, 10, 1000])
def test_load_stays_under_the_reservation_with_its_headers(mbps):
    assert packet_rate(mbps) * 8 * (PAYLOAD_BYTES + OVERHEAD_BYTES) <= mbps * 1e6 / 2
    assert packet_rate(mbps, 10.0) == packet_rate(mbps) / 10
