"""What a host's agent is asked over its control socket, and by which of its operations that is answered."""

from __future__ import annotations

from typing import Any

from kms.tunnel.agent.agent import Agent
from kms.tunnel.config import (
    AddRequest,
    ModifyRequest,
    RemoveRequest,
    ReportRequest,
    WaitUpRequest,
    WatchRequest,
    parse_request,
)


class AgentRequests:
    """Carries out requests on one agent. Raises TunnelError."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def carry_out(self, raw: dict[str, Any]) -> dict[str, Any]:
        match parse_request(raw):
            case AddRequest(connection=connection):
                return await self._agent.add(connection)
            case ModifyRequest(connection=connection):
                return await self._agent.modify(connection)
            case RemoveRequest(connection_id=connection_id):
                return await self._agent.remove(connection_id)
            case WaitUpRequest(connection_id=connection_id, timeout_s=timeout_s):
                return await self._agent.wait_up(connection_id, timeout_s)
            case WatchRequest(since=since, timeout_s=timeout_s):
                return await self._agent.watch(since, timeout_s)
            case ReportRequest(op="stats"):
                return self._agent.stats()
            case ReportRequest(op="list"):
                return self._agent.list()
            case ReportRequest():
                return {"text": self._agent.metrics()}
