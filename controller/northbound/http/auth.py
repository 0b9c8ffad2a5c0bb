"""Who may do what: bearer tokens (RFC 6750) of two roles."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from http import HTTPStatus

from controller.northbound.http.problems import Problem

REALM = 'Bearer realm="qslice"'


class Role(IntEnum):
    """Each may do what the ones below it may."""

    ANYONE = 0
    VIEWER = 1  # reads
    OPERATOR = 2  # reads and writes


@dataclass(frozen=True)
class Tokens:
    """The tokens by role; ``viewer`` None where nobody but the operator has one."""

    operator: str = field(repr=False)
    viewer: str | None = field(default=None, repr=False)

    def role_of(self, token: str) -> Role | None:
        """Whose token it is, in the same time whatever it is; None for nobody's."""
        is_operator = hmac.compare_digest(token.encode(), self.operator.encode())
        is_viewer = hmac.compare_digest(token.encode(), (self.viewer or self.operator).encode())
        if is_operator:
            return Role.OPERATOR
        return Role.VIEWER if is_viewer else None


def authorise(tokens: Tokens, headers: Mapping[str, str], needed: Role) -> None:
    """Let a request of at least the role needed pass; Problem 401 or 403 otherwise.

    A wrong token is refused even where none is needed: whoever sends one believes to be somebody.
    """
    credentials = headers.get("AUTHORIZATION")
    if credentials is None:
        if needed is not Role.ANYONE:
            raise _unauthorised(f"this needs the token of the {needed.name.lower()}", REALM)
        return
    scheme, _, token = credentials.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unauthorised("the Authorization header holds no bearer token", REALM)
    role = tokens.role_of(token.strip())
    if role is None:
        raise _unauthorised("the token is not valid here", f'{REALM}, error="invalid_token"')
    if role < needed:
        detail = f"this needs the token of the {needed.name.lower()}, not that of the {role.name.lower()}"
        challenge = f'{REALM}, error="insufficient_scope", scope="{needed.name.lower()}"'
        raise Problem(HTTPStatus.FORBIDDEN, detail, headers=(("WWW-Authenticate", challenge),))


def _unauthorised(detail: str, challenge: str) -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, detail, headers=(("WWW-Authenticate", challenge),))
