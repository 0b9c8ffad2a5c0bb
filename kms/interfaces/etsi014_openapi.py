"""The OpenAPI document of a KME's ETSI GS QKD 014 interface, with this KMS' limits in it. Pure."""

from __future__ import annotations

from typing import Any

from kms.keys.key import MAX_DISJOINT_RELAYS
from kms.keys.limits import Limits

VERSION = "1.1.1"  # of ETSI GS QKD 014
_SAE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_UUID = r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"
_SOURCES = r"^(qkd|qra|dh)(\+(qkd|qra|dh)){0,2}$"
_INTEGERS = (
    "key_size", "stored_key_count", "max_key_count", "max_key_per_request", "max_key_size", "min_key_size",
    "max_SAE_ID_count",
)  # fmt: skip


def openapi_document(limits: Limits) -> dict[str, Any]:
    """OpenAPI 3.1; the identity of the caller comes from its TLS certificate (clause 5)."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "ETSI GS QKD 014 key delivery", "version": VERSION},
        "security": [{"certificate": []}],
        "paths": {
            "/api/v1/keys/{slave_SAE_ID}/status": {"get": _operation("getStatus", "slave_SAE_ID", "Status")},
            "/api/v1/keys/{slave_SAE_ID}/enc_keys": {
                "get": _operation("getKeySimple", "slave_SAE_ID", "KeyContainer", _key_query(limits)),
                "post": _operation("getKey", "slave_SAE_ID", "KeyContainer", body="KeyRequest"),
            },
            "/api/v1/keys/{master_SAE_ID}/dec_keys": {
                "get": _operation("getKeyWithIdSimple", "master_SAE_ID", "KeyContainer", [_key_id_query()]),
                "post": _operation("getKeyWithIds", "master_SAE_ID", "KeyContainer", body="KeyIDs"),
            },
        },
        "components": {
            "securitySchemes": {"certificate": {"type": "mutualTLS"}},
            "schemas": _schemas(limits),
        },
    }


def _operation(
    name: str, sae: str, answer: str, query: list[dict[str, Any]] | None = None, body: str | None = None
) -> dict[str, Any]:
    parameter = {"name": sae, "in": "path", "required": True, "schema": {"type": "string", "pattern": _SAE}}
    error = {"content": _json("Error")}
    operation: dict[str, Any] = {
        "operationId": name,
        "parameters": [parameter, *(query or [])],
        "responses": {
            "200": {"description": "done", "content": _json(answer)},
            "400": {"description": "the request is wrong, or a key is not there", **error},
            "401": {"description": "the caller may not do this", **error},
            "503": {"description": "no key now", **error},
        },
    }
    if body is not None:
        # An empty Key request asks for the defaults (5.2).
        operation["requestBody"] = {"required": body != "KeyRequest", "content": _json(body)}
    return operation


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _number(limits: Limits) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": limits.max_key_per_request}


def _size(limits: Limits) -> dict[str, Any]:
    return {"type": "integer", "multipleOf": 8, "minimum": limits.min_key_size, "maximum": limits.max_key_size}


def _key_query(limits: Limits) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in (("number", _number(limits)), ("size", _size(limits)))
    ]


def _key_id_query() -> dict[str, Any]:
    return {"name": "key_ID", "in": "query", "required": True, "schema": {"type": "string", "pattern": _UUID}}


def _object(properties: dict[str, Any], required: list[str], closed: bool = False) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required}
    return {**schema, "additionalProperties": False} if closed else schema


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _schemas(limits: Limits) -> dict[str, Any]:
    anything: dict[str, Any] = {"type": "object"}
    texts = ("source_KME_ID", "target_KME_ID", "master_SAE_ID", "slave_SAE_ID")
    status = {name: {"type": "string"} for name in texts} | {name: {"type": "integer"} for name in _INTEGERS}
    key_id = {"type": "string", "pattern": _UUID}
    extension = _object(
        {
            "key_source": {"type": "string", "pattern": _SOURCES},
            "route": {"enum": ["direct", "relayed"]},
            "disjoint_relays": {"type": "integer", "minimum": 1, "maximum": MAX_DISJOINT_RELAYS},
            "max_age_s": {"type": "number", "minimum": 0, "maximum": 1_000_000_000},
        },
        [],
        closed=True,
    )
    slaves = {
        "type": "array", "uniqueItems": True, "maxItems": limits.max_sae_id_count,
        "items": {"type": "string", "pattern": _SAE},
    }  # fmt: skip
    request = {
        "number": _number(limits),
        "size": _size(limits),
        "additional_slave_SAE_IDs": slaves,
        "extension_mandatory": {"type": "array", "items": extension},
        "extension_optional": {"type": "array", "items": anything},
    }
    key = {"key_ID": key_id, "key": {"type": "string", "contentEncoding": "base64"}, "key_extension": anything}
    ids = {
        "type": "array", "minItems": 1, "maxItems": limits.max_key_per_request,
        "items": _object({"key_ID": key_id, "key_ID_extension": _or_null(anything)}, ["key_ID"], closed=True),
    }  # fmt: skip
    return {
        "Status": _object({**status, "status_extension": anything}, [*texts, *_INTEGERS]),
        "KeyRequest": _object({name: _or_null(schema) for name, schema in request.items()}, [], closed=True),
        "KeyContainer": _object(
            {"keys": {"type": "array", "items": _object(key, ["key_ID", "key"])}, "key_container_extension": anything},
            ["keys"],
        ),
        "KeyIDs": _object({"key_IDs": ids, "key_IDs_extension": _or_null(anything)}, ["key_IDs"], closed=True),
        "Error": _object({"message": {"type": "string"}, "details": {"type": "array", "items": anything}}, ["message"]),
    }
