"""The OpenAPI 3.1 document, made from the operations' own declarations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from controller.northbound.http.auth import Role
from controller.northbound.http.idempotency import KEY_PATTERN
from controller.northbound.http.operations import Operation, Reply
from controller.northbound.http.problems import PROBLEM
from controller.northbound.views.examples import example_bodies
from controller.northbound.views.schemas import schemas
from topologies.spec import Topology

TITLE = "QSlice northbound API"
VERSION = "1"

HEADERS: dict[str, dict[str, Any]] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "pattern": KEY_PATTERN},
        "description": "A write that is sent twice with one key is done once; the answer is given again.",
    },
    "LastEventId": {
        "name": "Last-Event-ID", "in": "header", "schema": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
        "description": "Go on after this event.",
    },
    "IfMatch": {
        "name": "If-Match", "in": "header", "schema": {"type": "string"},
        "description": "Write only when the entity tag is still this one.",
    },
    "IfNoneMatch": {
        "name": "If-None-Match", "in": "header", "schema": {"type": "string"},
        "description": "Answer 304 when the entity tag is still this one.",
    },
}  # fmt: skip


def openapi_document(
    operations: Iterable[Operation], role_of: Callable[[Operation], Role], topology: Topology
) -> dict[str, Any]:
    """The whole document; ``role_of`` says what an operation needs as the API is configured.

    Its example requests are of the topology's own sites, so that they can be sent as they stand.
    """
    examples = example_bodies(topology)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(
            operation, role_of(operation), examples
        )
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "parameters": HEADERS,
            "schemas": schemas(),
        },
    }


def problem_codes(operation: Operation) -> tuple[int, ...]:
    """Every status other than success that an operation can answer with."""
    codes = {400, 401, 406, 422, 500, *operation.problems}
    if operation.role is Role.OPERATOR:
        codes.add(403)
    if operation.is_write:
        codes |= {408, 411, 413}
        if operation.is_conditional:
            codes.add(412)
    if "IdempotencyKey" in operation.headers:
        codes |= {409, 503}
    if operation.body is not None:
        codes.add(415)
    return tuple(sorted(codes))


def _operation(operation: Operation, role: Role, examples: Mapping[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": {**_replies(operation), **{str(code): _problem(code) for code in problem_codes(operation)}},
        "security": [{"token": []}] if role is not Role.ANYONE else [{}, {"token": []}],
    }
    if operation.body is not None:
        content: dict[str, Any] = {m: {"schema": _ref(operation.body.schema)} for m in operation.body.media_types}
        for media in content.values():
            if operation.body.schema in examples:
                shown = examples[operation.body.schema]
                media["examples"] = {name: {"value": value} for name, value in shown.items()}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    names = re.findall(r"{(\w+)}", operation.path)
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]
    for query in operation.query:
        default = {} if query.default is None else {"default": query.default}
        parameters.append(
            {"name": query.name, "in": "query", "description": query.description, "schema": {**query.schema, **default}}
        )
    headers = list(operation.headers)
    if operation.is_conditional:
        headers.append("IfMatch" if operation.is_write else "IfNoneMatch")
    return [*parameters, *({"$ref": f"#/components/parameters/{name}"} for name in headers)]


def _replies(operation: Operation) -> dict[str, Any]:
    replies: dict[str, Any] = {}
    for reply in operation.replies:
        described = {"description": reply.description, "content": {_media_type(reply): _content(reply)}}
        replies[str(reply.status)] = described
        if reply.leads_to:
            described["links"] = {name: _link(name, field) for name, field in reply.leads_to}
        if operation.is_conditional and not operation.is_write:
            described["headers"] = {"ETag": {"schema": {"type": "string"}, "description": "The entity tag"}}
    if operation.is_conditional and not operation.is_write:
        replies["304"] = {"description": "If-None-Match names what there is"}
    return replies


def _link(operation: str, field: str) -> dict[str, Any]:
    """That ``operation`` takes what ``field`` of the answer says in its path."""
    return {"operationId": operation, "parameters": {f"path.{field}": f"$response.body#/{field}"}}


def _media_type(reply: Reply) -> str:
    return reply.media_type.partition(";")[0]


def _content(reply: Reply) -> dict[str, Any]:
    schema = {"schema": {"type": "string"} if reply.schema is None else _ref(reply.schema)}
    # OpenAPI 3.2 calls it `itemSchema`, and 3.1 has no word for it.
    return schema if reply.items is None else {**schema, "x-item-schema": _ref(reply.items)}


def _problem(code: int) -> dict[str, Any]:
    return {"description": HTTPStatus(code).phrase, "content": {PROBLEM: {"schema": _ref("Problem")}}}


def _ref(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}
