"""How the admin socket refuses: one table from errors to answers, for all of its handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from kms.admission.key_rate_reservations import AdmissionError
from kms.errors import KmsError, RequestError

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class NotThereError(KmsError):
    """The path names what this KMS does not have."""


class ConflictError(KmsError):
    """There is one already."""


class CannotListenError(KmsError):
    """A KME's address cannot be listened on."""


@web.middleware
async def answer_errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RequestError as error:
        return _refusal(400, error)
    except NotThereError as error:
        return _refusal(404, error)
    except AdmissionError as error:
        return _refusal(409, error, offer={"min_bandwidth": error.offer_bps})
    except ConflictError as error:
        return _refusal(409, error)
    except CannotListenError as error:
        return _refusal(503, error)


def _refusal(status: int, error: KmsError, **more: Any) -> web.Response:
    return web.json_response({"message": str(error), **more}, status=status)
