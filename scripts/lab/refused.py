"""Exercise 4: a request that must be refused, and the most that would fit. Judged by the controller's dry runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from scripts.automation.testbed import Testbed
from scripts.lab.exercise import Answers, Exercise, Finding, nothing_to_prepare
from scripts.testbed.key_rates import ask_when_known
from scripts.testbed.slice_requests import read_document

A, B, SECURITY, MBPS, LATENCY_MS, PROTECTION = "cell2", "core2", "qkd", 150, 20, "1:1"
STEP_MBPS = 1.0
"""How near to the greatest bandwidth a solution has to come."""
KEY_RATES_S = 60.0
TASK = f"""\
A hospital asks for one connection from {A} to {B}: quantum keys ({SECURITY}), {MBPS} Mbit/s, {LATENCY_MS} ms at most,
protection "{PROTECTION}". Write the request (as in scripts/examples/ring.yaml: `connections` is a list), and show that
it is refused: `qslice slice create refused.yaml --dry-run`. Read why. Then write a second request that differs in the
bandwidth alone, with the greatest one that fits (to {STEP_MBPS:g} Mbit/s).

    sudo qslice lab check 4 refused=refused.yaml fits=fits.yaml"""
ANSWERS = {"refused": "file of the request that is refused", "fits": "file of the request that fits"}
REFUSED_FOR_WANT = ("infeasible", "key_rate_lacking")


def only_connection(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one connection of a request that lists it; empty where there is not exactly one. Pure."""
    listed = request.get("connections")
    is_one = isinstance(listed, list) and len(listed) == 1 and isinstance(listed[0], dict)
    return listed[0] if isinstance(listed, list) and is_one else {}


def is_asked_for(connection: Mapping[str, Any]) -> bool:
    """Whether it is what the hospital asks for. Pure."""
    asked = {"from": A, "to": B, "security": SECURITY, "protection": PROTECTION, "latency_ms": LATENCY_MS}
    return connection.get("bandwidth_mbps") == MBPS and all(connection.get(k) == v for k, v in asked.items())


def with_bandwidth(request: Mapping[str, Any], mbps: float) -> dict[str, Any]:
    """The same request with another bandwidth of its one connection. Pure."""
    changed: dict[str, Any] = copy.deepcopy(dict(request))
    changed["connections"][0]["bandwidth_mbps"] = mbps
    return changed


def judge(testbed: Testbed, answers: Answers) -> list[Finding]:
    refused, fits = read_document(answers["refused"]), read_document(answers["fits"])
    if not is_asked_for(only_connection(refused)):
        return [Finding("the hospital's request", False, f"{answers['refused']} asks for something else: see the task")]
    mbps = only_connection(fits).get("bandwidth_mbps")
    findings = [_refusal(testbed, refused)]
    what = "the second request differs in the bandwidth alone"
    if not isinstance(mbps, int | float) or with_bandwidth(fits, MBPS) != dict(refused):
        return [*findings, Finding(what, False, "another field differs, or there is no bandwidth")]
    findings += [Finding(what, True, f"{mbps:g} instead of {MBPS:g} Mbit/s"), _fitting(testbed, fits, float(mbps))]
    return findings


def _dry_run(testbed: Testbed, request: Mapping[str, Any]) -> tuple[int, Any]:
    return ask_when_known(
        lambda: testbed.system.api("POST", "/v1/slices?dry_run=true", dict(request)), KEY_RATES_S, lambda step: None
    )


def _refusal(testbed: Testbed, request: Mapping[str, Any]) -> Finding:
    status, body = _dry_run(testbed, request)
    code = body.get("code") if isinstance(body, dict) else None
    reasons = "; ".join(f"{r.get('constraint')} at {r.get('where')}" for r in body.get("reasons", [])) if code else ""
    said = f"the controller answers {status} {code or ''}: {reasons or 'no reason'}"
    return Finding("the first request is refused because it does not fit", code in REFUSED_FOR_WANT, said)


def _fitting(testbed: Testbed, request: Mapping[str, Any], mbps: float) -> Finding:
    what = "the second request is the greatest that fits"
    if _dry_run(testbed, request)[0] != 200:
        return Finding(what, False, f"{mbps:g} Mbit/s do not fit either")
    more = mbps + STEP_MBPS
    is_greatest = _dry_run(testbed, with_bandwidth(request, more))[0] != 200
    more_says = "do not" if is_greatest else "fit too"
    return Finding(what, is_greatest, f"{mbps:g} Mbit/s fit, {more:g} Mbit/s {more_says}")


EXERCISE = Exercise(4, "a request that must be refused, and what would fit", TASK, ANSWERS, nothing_to_prepare, judge)
