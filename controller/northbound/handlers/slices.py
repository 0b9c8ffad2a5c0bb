"""Slices: made, listed, shown, changed, removed."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from urllib.parse import quote, urlencode

from controller.northbound.bodies import parse_batch, parse_slice
from controller.northbound.export import ietf_slice_service, service_profile
from controller.northbound.http.auth import Role
from controller.northbound.http.messages import JSON, MERGE_PATCH, YANG_JSON, Answer, Request, json_answer
from controller.northbound.http.operations import Body, Operation, QueryParameter, Reply, bad_parameter
from controller.northbound.views.slices import plan_view, slice_view
from controller.operations.slices.slice_service import SliceService

DEFAULT_PAGE = 1000
MAX_PAGE = 1000

DRY_RUN = QueryParameter("dry_run", bool, "Plan it and show the plan; change nothing.", default=False)
LIMIT = QueryParameter(
    "limit", int, "How many slices at most.", default=DEFAULT_PAGE, least=1, most=MAX_PAGE
)  # fmt: skip
CURSOR = QueryParameter(
    "cursor", str, "Where to go on: from the `next` of the page before.", pattern=r"^[A-Za-z0-9_-]{1,128}$"
)

TO_SLICE = tuple((name, "name") for name in ("getSlice", "changeSlice", "exportSliceIetf", "exportSlice3gpp"))


class SliceHandlers:
    """Answers for everything under ``/v1/slices``."""

    def __init__(self, slices: SliceService) -> None:
        self._slices = slices

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(
                "GET", "/v1/slices", "listSlices", "All slices, by name", self.list,
                (Reply(200, "A page of slices; `Link` leads to the next", "SliceList"),), (422,), (LIMIT, CURSOR),
                is_conditional=True,
            ),
            Operation(
                "POST", "/v1/slices", "createSlice", "Create a slice, or with `dry_run` see what it would get",
                self.create,
                (
                    Reply(201, "The slice, ACTIVE, or SCHEDULED to be there later", "Slice", leads_to=TO_SLICE),
                    Reply(200, "The plan of a dry run", "Plan"),
                ),
                (409, 503), (DRY_RUN,), Body("SliceRequest"), Role.OPERATOR, headers=("IdempotencyKey",),
            ),
            Operation(
                "GET", "/v1/slices/{name}", "getSlice", "One slice", self.show,
                (Reply(200, "The slice", "Slice"),), (404,), is_conditional=True,
            ),
            Operation(
                "PATCH", "/v1/slices/{name}", "changeSlice",
                "Change a slice at work, make before break, or a SCHEDULED one, by a JSON merge patch (RFC 7396)",
                self.change,
                (Reply(200, "The slice in its new form, or with `dry_run` the plan of it", "SliceOrPlan"),),
                (404, 409, 503), (DRY_RUN,), Body("SlicePatch", (MERGE_PATCH, JSON)), Role.OPERATOR,
                is_conditional=True, headers=("IdempotencyKey",),
            ),
            Operation(
                "DELETE", "/v1/slices/{name}", "deleteSlice", "Remove a slice", self.delete,
                (Reply(200, "The slice as it ended", "Slice"),), (404, 409, 503),
                role=Role.OPERATOR, is_conditional=True, headers=("IdempotencyKey",),
            ),
            Operation(
                "POST", "/v1/batches", "createSlices", "Create several slices: all of them, or none", self.create_all,
                (Reply(201, "The slices, ACTIVE", "SliceList"),), (409, 503), body=Body("BatchRequest"),
                role=Role.OPERATOR, headers=("IdempotencyKey",),
            ),
            Operation(
                "GET", "/v1/slices/{name}/ietf", "exportSliceIetf",
                "One slice as an IETF Network Slice Service (RFC 9543; draft-ietf-teas-ietf-network-slice-nbi-yang-13)",
                self.show_ietf, (Reply(200, "The slice service", "IetfNetworkSliceServices", YANG_JSON),), (404,),
                is_conditional=True,
            ),
            Operation(
                "GET", "/v1/slices/{name}/3gpp", "exportSlice3gpp", "One slice as a 3GPP ServiceProfile (TS 28.541)",
                self.show_3gpp, (Reply(200, "The service profile", "ServiceProfile"),), (404,), is_conditional=True,
            ),
        )  # fmt: skip

    def list(self, request: Request) -> Answer:
        limit, after = request.query["limit"], _name_in(request.query["cursor"])
        with self._slices.lock:
            model = self._slices.model
            names = sorted(name for name in model.slices if name > after)
            page = names[:limit]
            body = {"slices": [slice_view(model, model.slices[name]) for name in page]}
        if len(names) <= limit:
            return json_answer(HTTPStatus.OK, body)
        cursor = _cursor_after(page[-1])
        target = f"/v1/slices?{urlencode({'limit': limit, 'cursor': cursor})}"
        return json_answer(HTTPStatus.OK, body | {"next": cursor}, headers=(("Link", f'<{target}>; rel="next"'),))

    def show(self, request: Request) -> Answer:
        with self._slices.lock:
            model = self._slices.model
            return json_answer(HTTPStatus.OK, slice_view(model, model.slice(request.parameters["name"])))

    def create(self, request: Request) -> Answer:
        wanted = parse_slice(request.json(), self._slices.terms)
        if request.query["dry_run"]:
            return json_answer(HTTPStatus.OK, plan_view(self._slices.preview(wanted)))
        record = self._slices.create(wanted)
        with self._slices.lock:
            view = slice_view(self._slices.model, record)
        return json_answer(HTTPStatus.CREATED, view, headers=(("Location", f"/v1/slices/{quote(record.name)}"),))

    def create_all(self, request: Request) -> Answer:
        records = self._slices.create_batch(parse_batch(request.json(), self._slices.terms))
        with self._slices.lock:
            model = self._slices.model
            body = {"slices": [slice_view(model, record) for record in records]}
        return json_answer(HTTPStatus.CREATED, body)

    def change(self, request: Request) -> Answer:
        name, patch = request.parameters["name"], request.json()
        if request.query["dry_run"]:
            return json_answer(HTTPStatus.OK, plan_view(self._slices.preview_change(name, patch)))
        record = self._slices.modify(name, patch)
        with self._slices.lock:
            return json_answer(HTTPStatus.OK, slice_view(self._slices.model, record))

    def delete(self, request: Request) -> Answer:
        record = self._slices.delete(request.parameters["name"])
        with self._slices.lock:
            return json_answer(HTTPStatus.OK, slice_view(self._slices.model, record))

    def show_ietf(self, request: Request) -> Answer:
        with self._slices.lock:
            model = self._slices.model
            record = model.slice(request.parameters["name"])
            service = ietf_slice_service(model.topology, record, model.connections_of(record.name))
        return json_answer(HTTPStatus.OK, service, content_type=YANG_JSON)

    def show_3gpp(self, request: Request) -> Answer:
        with self._slices.lock:
            return json_answer(HTTPStatus.OK, service_profile(self._slices.model.slice(request.parameters["name"])))


def _cursor_after(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _name_in(cursor: str | None) -> str:
    """The last name of the page before: a slice that has gone since does not matter."""
    if cursor is None:
        return ""
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise bad_parameter("cursor", "is not one that a page gave") from None
