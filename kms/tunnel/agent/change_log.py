"""Which connections have changed since somebody looked last: what ``watch`` answers from."""

from __future__ import annotations

import asyncio

COALESCE_S = 0.02  # what fails together is told together


class ChangeLog:
    """Counts changes. A token says how much of them its holder has seen; one of another ``instance`` says nothing."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._count = 0
        self._last: dict[str, int] = {}  # connection -> number of its last change
        self._news = asyncio.Event()

    @property
    def token(self) -> str:
        return f"{self._instance}.{self._count}"

    def note(self, connection_id: str) -> None:
        self._count += 1
        self._last[connection_id] = self._count
        self._news.set()

    def forget(self, connection_id: str) -> None:
        """It is gone, which is a change as well."""
        self._count += 1
        self._last.pop(connection_id, None)
        self._news.set()

    def since(self, token: str | None) -> frozenset[str] | None:
        """The connections that have changed after ``token``; None: all may have."""
        instance, _, number = (token or "").rpartition(".")
        if instance != self._instance or not number.isdigit():
            return None
        return frozenset(c for c, last in self._last.items() if last > int(number))

    async def wait(self, token: str | None, timeout_s: float) -> None:
        """Until there is something after ``token``, or the time is up."""
        try:
            async with asyncio.timeout(timeout_s):
                while token == self.token:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return
        if self.since(token) is not None:
            await asyncio.sleep(COALESCE_S)
