"""The OpenAPI 3.1 description of the northbound API; request schemas come from the wire models themselves."""

from __future__ import annotations

from functools import cache
from typing import Any

from controller.requests import SliceWire

_JSON = "application/json"
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}


@cache
def openapi_document() -> dict[str, Any]:
    """The whole document. Treat it as read-only: it is made once."""
    slice_schema = SliceWire.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = slice_schema.pop("$defs", {})
    return {
        "openapi": "3.1.0",
        "info": {"title": "QSlice northbound API", "version": "1"},
        "paths": {
            "/v1/slices": {
                "get": _operation("listSlices", "All slices", {"200": _answer("The slices", "SliceList")}),
                "post": {
                    **_operation(
                        "createSlice", "Create a slice, or with dry_run see what it would get",
                        {
                            "200": _answer("The plan of a dry run", "Plan"),
                            "201": _answer("The slice", "Slice"),
                            **_problems(400, 401, 409, 411, 413, 415, 422, 503),
                        },
                        is_write=True,
                    ),
                    "parameters": [
                        {"name": "dry_run", "in": "query", "schema": {"type": "string", "enum": ["true", "false"]}}
                    ],
                    "requestBody": {"required": True, "content": {_JSON: {"schema": _ref("SliceRequest")}}},
                },
            },
            "/v1/slices/{name}": {
                "parameters": [_NAME],
                "get": _operation("getSlice", "One slice", {"200": _answer("The slice", "Slice"), **_problems(404)}),
                "delete": _operation(
                    "deleteSlice", "Remove a slice",
                    {"200": _answer("The slice as it ended", "Slice"), **_problems(401, 404, 409, 503)},
                    is_write=True,
                ),
            },
            "/v1/topology": {"get": _operation("getTopology", "Topology", {"200": _answer("Topology", "Topology")})},
            "/v1/events": {
                "get": _operation(
                    "followEvents", "Server-sent events: slice, link and key states",
                    {"200": _text("text/event-stream"), **_problems(400)},
                )
            },
            "/v1/healthz": {"get": _operation("getHealth", "Whether it serves", {"200": _answer("It does", "Health")})},
            "/metrics": {"get": _operation("getMetrics", "Prometheus metrics", {"200": _text("text/plain")})},
            "/openapi.json": {"get": _operation("getOpenApi", "This", {"200": _answer("This document", "Document")})},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**definitions, "SliceRequest": slice_schema, **_SCHEMAS},
        },
    }  # fmt: skip


def _operation(name: str, summary: str, answers: dict[str, Any], is_write: bool = False) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": name, "summary": summary, "responses": answers}
    if is_write:
        operation["security"] = [{"token": []}]
    return operation


def _ref(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _answer(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": _ref(schema)}}}


def _text(media_type: str) -> dict[str, Any]:
    return {"description": "Text", "content": {media_type: {"schema": {"type": "string"}}}}


def _problems(*codes: int) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    return {str(code): {"description": "A problem document (RFC 9457)", "content": content} for code in codes}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}
_OBJECT: dict[str, Any] = {"type": "object"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_SCHEMAS: dict[str, Any] = {
    "Connection": _object(
        {
            "name": _TEXT, "id": _TEXT, "src": _TEXT, "dst": _TEXT, "src_address": _TEXT, "dst_address": _TEXT,
            "required": _TEXT, "key_source": _TEXT, "path": _TEXTS, "state": _TEXT,
            "latency_ms": {"type": ["number", "null"]}, "labels": {"type": ["object", "null"]},
            "bandwidth_mbps": _NUMBER, "reason": {"type": ["string", "null"]},
        }
    ),
    "Slice": _object(
        {
            "name": _TEXT, "state": _TEXT, "compute_site": _TEXT, "created_at": _NUMBER, "timings_ms": _OBJECT,
            "request": _OBJECT, "connections": {"type": "array", "items": {"$ref": "#/components/schemas/Connection"}},
        }
    ),
    "SliceList": _object({"slices": {"type": "array", "items": {"$ref": "#/components/schemas/Slice"}}}),
    "Plan": _object(
        {
            "dry_run": {"const": True}, "name": _TEXT, "compute_site": _TEXT,
            "connections": {"type": "array", "items": _OBJECT},
        }
    ),
    "Topology": _object(
        {
            "name": _TEXT,
            "sites": {"type": "array", "items": _OBJECT},
            "channels": {"type": "array", "items": _OBJECT},
            "sections": {"type": "array", "items": _OBJECT},
        }
    ),
    "Problem": _object(
        {"type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT},
        {
            "reasons": {"type": "array", "items": _OBJECT}, "nearest": {"type": "array", "items": _OBJECT},
            "errors": {"type": "array", "items": _OBJECT},
        },
    ),
    "Health": _object({"status": _TEXT, "switches_connected": {"type": "integer"}, "switches": {"type": "integer"}}),
    "Document": _OBJECT,
}  # fmt: skip
