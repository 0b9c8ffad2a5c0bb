"""Traces of the last set-ups and tear-downs, also of slices that are gone or were never made."""

from __future__ import annotations

from http import HTTPStatus

from controller.northbound.http.messages import Answer, Request, json_answer
from controller.northbound.http.operations import Operation, QueryParameter, Reply
from controller.northbound.views.traces import trace_view
from controller.operations.slices.slice_service import SliceService

SLICE = QueryParameter("slice", str, "Of this slice alone.", pattern=r"^[A-Za-z0-9._-]{1,63}$")


class TraceHandlers:
    """Answers for ``/v1/traces``."""

    def __init__(self, slices: SliceService) -> None:
        self._slices = slices

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(
                "GET", "/v1/traces", "listTraces",
                "Steps of the last set-ups and tear-downs with their start and end, the newest last", self.list,
                (Reply(200, "Traces", "TraceList"),), (422,), (SLICE,),
            ),
        )  # fmt: skip

    def list(self, request: Request) -> Answer:
        traces = self._slices.traces(request.query["slice"])
        return json_answer(HTTPStatus.OK, {"traces": [trace_view(trace) for trace in traces]})
