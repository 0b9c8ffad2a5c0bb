"""The service itself: whether it serves, how it fares, what it offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from controller.northbound.http.messages import PROMETHEUS, Answer, Request, json_answer
from controller.northbound.http.operations import Operation, Reply
from controller.northbound.metrics import Telemetry, metrics_text
from controller.operations.event_log import EventLog
from controller.operations.slices.slice_service import SliceService


class ServiceHandlers:
    """Answers for health, metrics and the description."""

    def __init__(
        self, slices: SliceService, events: EventLog, telemetry: Telemetry, document: Callable[[], dict[str, Any]]
    ) -> None:
        self._slices = slices
        self._events = events
        self._telemetry = telemetry
        self._document = document

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(
                "GET", "/v1/healthz", "getHealth", "Whether it serves, and how many switches it has", self.health,
                (Reply(200, "It does", "Health"),), is_public=True,
            ),
            Operation(
                "GET", "/metrics", "getMetrics", "Prometheus metrics", self.metrics,
                (Reply(200, "Text exposition format 0.0.4", media_type=PROMETHEUS),),
            ),
            Operation(
                "GET", "/openapi.json", "getOpenApi", "This document", self.describe,
                (Reply(200, "OpenAPI 3.1", "Document"),), is_public=True, is_conditional=True,
            ),
        )  # fmt: skip

    def health(self, request: Request) -> Answer:
        connected, expected = self._slices.switch_count()
        mutation = self._slices.model.mutation
        wrong = {} if mutation is None else {"unsafe_mutation": mutation}
        health = {"status": "ok", "switches_connected": connected, "switches": expected}
        failed = [asdict(task) for task in self._slices.background if task.restarts]
        return json_answer(HTTPStatus.OK, health | wrong | ({"background": failed} if failed else {}))

    def metrics(self, request: Request) -> Answer:
        with self._slices.lock:
            text = metrics_text(self._slices.model, self._slices.sections, self._events, self._telemetry)
        return Answer(HTTPStatus.OK, text.encode(), PROMETHEUS)

    def describe(self, request: Request) -> Answer:
        return json_answer(HTTPStatus.OK, self._document())
