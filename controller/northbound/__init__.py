"""The northbound API: a WSGI application over the life cycle.

An operation is declared once: the router obeys the declaration, and the OpenAPI document is made from it.
"""

from controller.northbound.application import Api, Settings
from controller.northbound.http.auth import Role, Tokens
from controller.northbound.http.messages import MAX_BODY_BYTES

__all__ = ["MAX_BODY_BYTES", "Api", "Role", "Settings", "Tokens"]
