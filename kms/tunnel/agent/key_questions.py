"""A session's questions to the KME, each in a task of its own; the answers go back to the session."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from kms.tunnel.agent.kme_client import KeyClient, known_keys, offered_keys
from kms.tunnel.errors import KeyRefused
from kms.tunnel.protocol.effects import AskDecKeys, AskEncKeys
from kms.tunnel.protocol.session import ENTROPY_BYTES, Session

logger = logging.getLogger(__name__)

_KEY_TIMEOUT_S = 5.0


class KeyQuestions:
    """Asks for the session of ``name``; after each answer ``carry_out`` does what the session then wants."""

    def __init__(self, name: str, session: Session, keys: KeyClient, carry_out: Callable[[], None]) -> None:
        self._name, self._session, self._keys, self._carry_out = name, session, keys, carry_out
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self.lacks_key = False
        """The KME refused when it was asked last."""

    def ask(self, question: AskEncKeys | AskDecKeys) -> None:
        task = self._loop.create_task(self._ask(question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """No answer comes any more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, question: AskEncKeys | AskDecKeys) -> None:
        try:
            async with asyncio.timeout(_KEY_TIMEOUT_S):
                if isinstance(question, AskEncKeys):
                    found = await offered_keys(self._keys, question, self._session.settings.suite)
                else:
                    found = await known_keys(self._keys, question, self._session.settings.suite)
        except KeyRefused as error:
            self._refuse(question.request, str(error), is_final=error.is_final)
        except TimeoutError:
            self._refuse(question.request, f"the KME has not answered for {_KEY_TIMEOUT_S:g} s", is_final=False)
        else:
            now = self._loop.time()
            self.lacks_key = False
            self._session.keys_obtained(question.request, found, now, os.urandom(len(found) * ENTROPY_BYTES))
            self._carry_out()

    def _refuse(self, request: int, reason: str, *, is_final: bool) -> None:
        logger.warning("%s: no key: %s", self._name, reason)
        self.lacks_key = True
        self._session.key_refused(request, reason, self._loop.time(), is_final=is_final)
        self._carry_out()
