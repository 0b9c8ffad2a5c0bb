"""The key servers of paper 003 over ETSI 014: QKey and CKey for the same pair of network functions, or neither.

The QKD server (algorithm 1) gives a pair its QKey, the classical key server (CKM, algorithm 2) its CKey, made by a
post-quantum KEM; the orchestration (algorithms 3 and 6) lets the functions use them only when both are confirmed at
both ends. The servers order and check, they never see a key: each end proves what it has by a receipt over a nonce.
A fault of one key does not discard the other (algorithm 6). How keys are used is the functions' part (4, 5, 7).
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from kms.clients.etsi014_client import Kme014Client, canonical
from kms.errors import ClientError

_log = logging.getLogger(__name__)

ATTEMPTS = 3
_NONCE_BYTES = 16


class KeyRole(Enum):
    """What a key is for: CKey encrypts, QKey authenticates."""

    QKEY = "qkd"
    CKEY = "qra"


class KeyServerAlertError(ClientError):
    """A key could not be given to both ends within the attempts that are allowed."""


def receipt(key: bytes, key_id: str, nonce: bytes) -> bytes:
    """What proves that its maker has the key of that id, and says nothing of the key."""
    return hmac.new(key, b"qslice key receipt" + nonce + canonical(key_id).encode(), hashlib.sha256).digest()


class NetworkFunction:
    """A function that takes keys at its KME: its SAE id, its client, and the keys that it holds by id.

    Ids may come in letters of either case.
    """

    def __init__(self, sae_id: str, client: Kme014Client) -> None:
        self.sae_id = sae_id
        self._client = client
        self._keys: dict[str, bytes] = {}
        self.in_use: dict[tuple[str, KeyRole], str] = {}  # ids, by peer and role

    async def order(self, peer: str, role: KeyRole) -> str:
        key_id, key = await self._client.enc_key(peer, role.value)
        self._keys[canonical(key_id)] = key
        return canonical(key_id)

    async def fetch(self, master: str, key_id: str) -> None:
        self._keys[canonical(key_id)] = await self._client.dec_key(master, key_id)

    def receipt(self, key_id: str, nonce: bytes) -> bytes:
        return receipt(self._keys[canonical(key_id)], key_id, nonce)

    def key(self, peer: str, role: KeyRole) -> bytes:
        """The key in use with a peer."""
        return self._keys[self.in_use[peer, role]]

    def use(self, peer: str, role: KeyRole, key_id: str) -> None:
        """Take the key into use; the one before is dropped."""
        before = self.in_use.get((peer, role))
        self.in_use[peer, role] = canonical(key_id)
        if before is not None and before != canonical(key_id):
            self.drop(before)

    def drop(self, key_id: str) -> None:
        self._keys.pop(canonical(key_id), None)


class Ordering(Protocol):
    """A key server, as the orchestration sees it."""

    async def give(self, a: NetworkFunction, b: NetworkFunction) -> str: ...


@dataclass
class KeyServer:
    """Algorithms 1 and 2: keys of one role for pairs; unique, confirmed at both ends, attempts are bounded.

    ``ledger`` holds the ids that were given, ``failures`` why attempts failed.
    """

    role: KeyRole
    entropy: Callable[[int], bytes]
    ledger: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)

    async def give(self, a: NetworkFunction, b: NetworkFunction) -> str:
        """The id of a fresh key that both ends have; KeyServerAlertError after the last attempt."""
        for _ in range(ATTEMPTS):
            key_id = None
            try:
                key_id = await a.order(b.sae_id, self.role)
                await b.fetch(a.sae_id, key_id)
            except ClientError as error:
                self._note(f"{type(error).__name__}: {error}")
            else:
                nonce = self.entropy(_NONCE_BYTES)
                is_same = hmac.compare_digest(a.receipt(key_id, nonce), b.receipt(key_id, nonce))
                if is_same and key_id not in self.ledger:
                    self.ledger.add(key_id)
                    return key_id
                self._note("the ends' receipts differ" if not is_same else "a key was given before")
            if key_id is not None:
                for end in (a, b):
                    end.drop(key_id)
        raise KeyServerAlertError(f"no {self.role.name} for {a.sae_id} and {b.sae_id}: {self.failures[-1]}")

    def _note(self, reason: str) -> None:
        self.failures.append(reason)
        _log.warning("%s: %s", self.role.name, reason)


@dataclass
class KeyPairCoordinator:
    """Algorithms 3 and 6: both keys for every pair, taken into use together, and anew every ``refresh_s`` seconds."""

    qkd_server: Ordering
    ckm_server: Ordering
    refresh_s: float
    _pending: dict[tuple[str, str], dict[KeyRole, str]] = field(default_factory=dict)
    _given_at: dict[tuple[str, str], float] = field(default_factory=dict)

    def is_due(self, a: NetworkFunction, b: NetworkFunction, now: float) -> bool:
        return now - self._given_at.get((a.sae_id, b.sae_id), float("-inf")) >= self.refresh_s

    async def provide(self, a: NetworkFunction, b: NetworkFunction, now: float) -> None:
        """Both keys for the pair. KeyServerAlertError when one cannot be had: the pair keeps what it has in use, and a
        key that was confirmed is kept for the next call.
        """
        pair = a.sae_id, b.sae_id
        pending = self._pending.setdefault(pair, {})
        alerts: list[KeyServerAlertError] = []
        for role, server in ((KeyRole.QKEY, self.qkd_server), (KeyRole.CKEY, self.ckm_server)):
            if role not in pending:
                try:
                    pending[role] = await server.give(a, b)
                except KeyServerAlertError as alert:
                    alerts.append(alert)
        if alerts:
            raise alerts[0]
        for role, key_id in self._pending.pop(pair).items():
            a.use(b.sae_id, role, key_id)
            b.use(a.sae_id, role, key_id)
        self._given_at[pair] = now
