"""Bodies of requests on any interface of the KMS: strict JSON, held against a model; RequestError names the field."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from kms.errors import RequestError

_UUID = re.compile("[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


class StrictModel(BaseModel):
    """The body of a request: unknown fields are refused, nothing is converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


_Body = TypeVar("_Body", bound=StrictModel)


def load_json(body: bytes) -> Any:
    """Strict JSON in UTF-8: no name twice, no NaN; RequestError otherwise."""
    try:
        return _STRICT.decode(body.decode())
    except RequestError:
        raise
    except (ValueError, RecursionError):
        raise RequestError("the body is not valid JSON in UTF-8") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RequestError("a name occurs twice in a JSON object")
    return found


def _refuse_constant(name: str) -> Any:
    raise RequestError(f"{name} is not JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


def validate(model: type[_Body], document: Any) -> _Body:
    """The document as the model has it; RequestError that names the fields otherwise."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        details = tuple(
            {"field": ".".join(str(part)[:64] for part in problem["loc"]) or "body", "problem": problem["msg"]}
            for problem in error.errors(include_url=False, include_input=False, include_context=False)[:10]
        )
        raise RequestError(f"{details[0]['field']}: {details[0]['problem']}", details) from None


def parse_uuid(text: str, what: str = "a key_ID") -> uuid.UUID:
    """A UUID in RFC 4122's text form; RequestError otherwise."""
    # uuid.UUID also takes braces and URNs; RFC 4122's text form alone is meant.
    if not _UUID.fullmatch(text):
        raise RequestError(f"{what} is not a UUID")
    return uuid.UUID(text)
