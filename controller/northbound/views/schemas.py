"""The schemas of the OpenAPI document. What is taken is described by the wire models themselves, what is given here."""

from __future__ import annotations

from functools import cache
from typing import Any

from controller.forwarding.items import GroupType
from controller.model.events import SectionState
from controller.model.operator_policy import CostProfile
from controller.model.reason import ReasonCode
from controller.model.request import Match, Protection, Role
from controller.model.states import ConnectionState, SliceState
from controller.model.tunnel_profile import EXTENSION_SUITE, PADDINGS, SUITES
from controller.northbound.bodies import MAX_BATCH
from controller.northbound.http.problem_types import URN
from controller.northbound.views.events import EVENT_SCHEMAS
from controller.northbound.views.moments import MOMENT
from controller.northbound.views.paths import PATH_MEMBERS, PATH_SCHEMAS
from controller.northbound.views.problem_codes import ProblemCode
from controller.northbound.views.schema_terms import (
    AMOUNT,
    COUNT,
    FLAG,
    LEVEL,
    NUMBER,
    TEXT,
    TEXTS,
    list_of,
    map_of,
    object_of,
    or_null,
    ref,
)
from controller.northbound.views.sealing import CARD_SCHEMA, SEALING_MEMBERS
from controller.northbound.views.traces import TRACE_SCHEMAS
from controller.northbound.views.wavelengths import WAVELENGTH_SCHEMAS
from controller.operations.slices.feasibility import ReservationStatus
from controller.operations.slices.reservations import DEFAULT_RESERVATION_S, MAX_RESERVATION_S
from controller.schema.slice_request import ListedSliceWire, SliceWire
from topologies.spec import Allocation, EncryptionMode


@cache
def schemas() -> dict[str, Any]:
    """All of them by name. Treat them as read-only: they are made once."""
    forms = [w.model_json_schema(ref_template="#/components/schemas/{model}") for w in (SliceWire, ListedSliceWire)]
    definitions = {name: schema for form in forms for name, schema in form.pop("$defs", {}).items()}
    given = {**PATH_SCHEMAS, **WAVELENGTH_SCHEMAS, **EVENT_SCHEMAS, **TRACE_SCHEMAS, **_ANSWERS}
    return {**definitions, "SliceRequest": {"oneOf": forms}, **given}


_LIFETIME = {
    "type": "number", "exclusiveMinimum": 0, "maximum": MAX_RESERVATION_S, "default": DEFAULT_RESERVATION_S,
}  # fmt: skip
_PROBLEM_CODE = {
    "anyOf": [{"enum": [code.value for code in ProblemCode]}, {"type": "string", "pattern": "^[a-z_]+$"}],
    "description": "What it is to a program; where none of those named is, the status' name.",
}
_PROBLEM_TYPE = {"type": "string", "pattern": f"^{URN}[a-z-]+$"}
_COST = object_of({"total": COUNT, "surplus_levels": COUNT, "latency_us": COUNT, "load_permille": COUNT})
_IPV6 = {"type": "string", "format": "ipv6"}
_SUITE = {"anyOf": [{"enum": list(SUITES)}, {"type": "string", "pattern": f"^{EXTENSION_SUITE.pattern}$"}]}
_ANSWERS: dict[str, Any] = {
    "Connection": object_of(
        {
            "name": TEXT, "id": TEXT, "role": {"enum": [*(r.value for r in Role), None]}, "src": TEXT, "dst": TEXT,
            "src_address": {"type": "string", "format": "ipv4"}, "dst_address": {"type": "string", "format": "ipv4"},
            "src_address6": or_null(_IPV6), "dst_address6": or_null(_IPV6),
            "required": LEVEL, "level": LEVEL, "fallback": list_of(LEVEL), "is_on_fallback": FLAG,
            "key_source": TEXT, "added_by_policy": list_of(LEVEL), "suite": or_null(_SUITE), **SEALING_MEMBERS,
            "padding": or_null({"enum": list(PADDINGS)}),
            "match": {"enum": [m.value for m in Match]}, "protection": {"enum": [p.value for p in Protection]},
            "state": {"enum": [s.value for s in ConnectionState]}, "conditions": TEXTS,
            "reason": or_null(TEXT), "reason_code": or_null({"enum": [c.value for c in ReasonCode]}),
            "bandwidth_mbps": AMOUNT, "reverse_bandwidth_mbps": AMOUNT, **PATH_MEMBERS, "backup": or_null(ref("Path")),
            "rekey_s": or_null(AMOUNT), "rekey_in_effect_s": or_null(AMOUNT), "rekey_reason": or_null(TEXT),
            "priority": {"type": "integer"}, "revert_after_s": or_null(AMOUNT), "preferred": or_null(ref("Path")),
            "reroutes": list_of(ref("Reroute")),
            "tunnel": or_null(object_of({"interface": TEXT, "port": COUNT})),
        }
    ),
    "Slice": object_of(
        {
            "name": TEXT, "state": {"enum": [s.value for s in SliceState]}, "compute_site": or_null(TEXT),
            "created_at": MOMENT, "reason": or_null(TEXT), "expires_at": or_null(MOMENT),
            "occurrence": or_null(object_of({"number": COUNT, "start": MOMENT, "end": MOMENT})),
            "timings_ms": map_of(AMOUNT), "request": ref("SliceRequest"),
            "connections": list_of(ref("Connection")),
            "wavelengths": list_of(ref("WavelengthOfSlice")), "cross_connects": list_of(ref("CrossConnect")),
        }
    ),
    "SlicePatch": {
        "type": "object",
        "description": "Members of the request to change; null takes one away. name, cells and core are fixed, start "
        "and schedule while the slice is there. "
        "Listed connections are changed by an object with their names, or all at once by a list.",
        "properties": {
            "compute": {"type": "object"}, "connections": {"type": ["object", "array"]}, "sNSSAI": {"type": "object"},
            "end": {"type": ["string", "null"]},
        },
    },
    "SliceOrPlan": {"anyOf": [ref("Slice"), ref("Plan")]},
    "BatchRequest": object_of(
        {"slices": {"type": "array", "items": ref("SliceRequest"), "minItems": 1, "maxItems": MAX_BATCH}}
    ),
    "ReservationRequest": object_of({"slice": ref("SliceRequest")}, {"expires_in_s": _LIFETIME}),
    "FeasibilityRequest": object_of(
        {"slice": ref("SliceRequest")}, {"expires_in_s": _LIFETIME, "reserve": {"type": "boolean", "default": False}}
    ),
    "Reservation": object_of({"id": TEXT, "expires_at": MOMENT, "slice": ref("Slice")}),
    "ReservationList": object_of({"reservations": list_of(ref("Reservation"))}),
    "FeasibilityJob": object_of(
        {
            "id": TEXT, "asked_at": MOMENT, "feasibilityResult": {"enum": ["FEASIBLE", "INFEASIBLE"]},
            "resourceReservationStatus": {"enum": [s.value for s in ReservationStatus]}, "reservation": or_null(TEXT),
            "reservationExpiration": or_null(MOMENT), "request": ref("SliceRequest"),
        },
        {"inFeasibleReason": TEXT, "reasons": list_of(ref("Reason")), "nearest": list_of(ref("Relaxation"))},
    ),
    "FeasibilityJobList": object_of({"jobs": list_of(ref("FeasibilityJob"))}),
    "SliceList": object_of({"slices": list_of(ref("Slice"))}, {"next": TEXT}),
    "Cost": {
        **_COST,
        "description": "total = surplus_levels * 10^14 + latency_us * 10^6 + load_permille, summed over channels, "
        "each with one switch",
    },
    "PlannedConnection": object_of(
        {
            "name": TEXT, "src": TEXT, "dst": TEXT, "src_address": TEXT, "dst_address": TEXT,
            "src_address6": or_null(_IPV6), "dst_address6": or_null(_IPV6), "required": TEXT,
            "key_source": TEXT, "added_by_policy": list_of(LEVEL), "suite": or_null(_SUITE),
            "padding": or_null({"enum": list(PADDINGS)}),
            "protection": {"enum": [p.value for p in Protection]}, "bandwidth_mbps": AMOUNT,
            "reverse_bandwidth_mbps": AMOUNT, "key_rate_bps": AMOUNT, **PATH_MEMBERS, "backup": or_null(ref("Path")),
            "shared": TEXTS,
            "cost": COUNT, "cost_parts": ref("Cost"),
        }
    ),
    "PlannedRule": object_of(
        {
            "priority": COUNT, "match": map_of({"type": ["integer", "string"]}), "actions": TEXTS, "cookie": TEXT,
            "meter": or_null(COUNT),
        }
    ),
    "PlannedSwitch": object_of(
        {
            "rules": list_of(ref("PlannedRule")),
            "meters": list_of(object_of({"id": COUNT, "rate_kbps": COUNT, "burst_kbits": COUNT})),
            "groups": list_of(
                object_of(
                    {
                        "id": COUNT, "type": {"enum": [t.value for t in GroupType]},
                        "buckets": list_of(object_of({"actions": TEXTS, "watch_port": or_null(COUNT)})),
                    }
                )
            ),
        }
    ),
    "Plan": object_of(
        {
            "dry_run": {"const": True}, "name": TEXT, "compute_site": or_null(TEXT), "is_proven": FLAG,
            "cost": ref("Cost"), "connections": list_of(ref("PlannedConnection")),
            "switches": map_of(ref("PlannedSwitch")), "key_rate_bps": map_of(AMOUNT),
            "reserved_mbps": map_of(AMOUNT),
        }
    ),
    "Intended": object_of({"switches": map_of(ref("PlannedSwitch"))}),
    "Topology": object_of(
        {
            "policy": object_of(
                {"always": list_of(LEVEL), "cost_profile": {"enum": [profile.value for profile in CostProfile]}}
            ),
            "encryption": {"enum": [mode.value for mode in EncryptionMode]}, "cards": list_of(CARD_SCHEMA),
            "latency_model": object_of({"switch_us": COUNT, "tunnel_us": COUNT}),
            "name": TEXT, "description": TEXT, "faults": TEXTS, "allocation": {"enum": [a.value for a in Allocation]},
            "wavelengths": list_of(ref("Wavelength")),
            "sites": list_of(
                object_of(
                    {
                        "name": TEXT, "tier": TEXT, "x": NUMBER, "y": NUMBER, "vcpus": COUNT, "memory_gb": COUNT,
                        "free_vcpus": COUNT, "free_memory_gb": COUNT,
                    }
                )
            ),
            "channels": list_of(
                object_of(
                    {
                        "id": TEXT, "a": TEXT, "b": TEXT, "a_interface": TEXT, "b_interface": TEXT, "class": TEXT,
                        "wavelength": TEXT, "length_km": AMOUNT,
                        "state": {"enum": ["up", "down", "dark"]}, "is_spare": FLAG,
                        "capacity_mbps": AMOUNT, "reserved_mbps": AMOUNT,
                        "reserved_from_a_mbps": AMOUNT, "reserved_from_b_mbps": AMOUNT,
                    }
                )
            ),
            "sections": list_of(
                object_of(
                    {
                        "id": TEXT, "a": TEXT, "b": TEXT, "length_km": AMOUNT,
                        "state": {"enum": [state.value for state in SectionState]},
                        "rate_bps": or_null(AMOUNT), "reserved_bps": AMOUNT, "qber": or_null(AMOUNT),
                        "secure": or_null(FLAG),
                    }
                )
            ),
            "qkd_links": list_of(object_of({"id": TEXT, "a": TEXT, "b": TEXT, "sections": TEXTS})),
            "vendor_links": list_of(
                object_of({"id": TEXT, "a": TEXT, "b": TEXT, "url": TEXT, "rate_bps": {"type": "null"}})
            ),
        }
    ),
    "Reason": object_of(
        {
            "connection": TEXT, "constraint": TEXT, "where": TEXT, "unit": or_null(TEXT),
            "detail": or_null(TEXT),
            "needed": {"type": ["string", "number", "array"], "items": TEXT},
            "available": {"type": ["string", "number", "array", "null"], "items": TEXT},
        }
    ),
    "Relaxation": object_of(
        {"field": TEXT, "value": {"type": ["string", "number", "array"], "items": TEXT}, "description": TEXT},
        {"also": list_of(ref("Relaxation"))},
    ),
    "FieldError": object_of({"field": TEXT, "message": TEXT}),
    "Problem": {
        "description": "A problem document (RFC 9457)",
        **object_of(
            {
                "type": _PROBLEM_TYPE, "title": TEXT, "status": {"type": "integer", "minimum": 400, "maximum": 599},
                "detail": TEXT, "instance": TEXT, "code": _PROBLEM_CODE,
            },
            {
                "errors": list_of(ref("FieldError")), "reasons": list_of(ref("Reason")),
                "nearest": list_of(ref("Relaxation")), "offered": TEXTS,
                "device": TEXT, "connection": TEXT, "step": COUNT, "steps": COUNT,
            },
        ),
    },
    "Health": object_of(
        {"status": {"const": "ok"}, "switches_connected": COUNT, "switches": COUNT},
        {"unsafe_mutation": TEXT, "background": list_of(ref("Task"))},
    ),
    "Task": object_of({"task": TEXT, "is_running": {"type": "boolean"}, "restarts": COUNT, "last_error": TEXT}),
    "Document": {"type": "object", "required": ["openapi", "info", "paths"]},
    "IetfNetworkSliceServices": object_of({"ietf-network-slice-service:network-slice-services": {"type": "object"}}),
    "ServiceProfile": {"type": "object", "required": ["serviceProfileId", "sst", "plmnInfoList"]},
}  # fmt: skip
