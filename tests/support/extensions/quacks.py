"""Healing policies that harm, or would."""

from __future__ import annotations

import os
import time

from scripts.extensions.api import EXTENSION_API, Degrade, Fallback, Impact, Move, NetworkView, Verdict, Wait


class _Quack:
    """One verdict for all."""

    version = "0.1"
    api = EXTENSION_API

    def decide(self, net: NetworkView, impacts: tuple[Impact, ...], now: float) -> tuple[Verdict, ...]:
        return tuple(self.one(impact.connection.id) for impact in impacts)

    def one(self, connection: str) -> Verdict:
        return Move(connection)


class GivesUp(_Quack):
    """Gives up what could be moved."""

    name = "gives-up"

    def one(self, connection: str) -> Verdict:
        return Degrade(connection, "too much trouble")


class FallsBack(_Quack):
    """Uses fallbacks where none is listed or needed."""

    name = "falls-back"

    def one(self, connection: str) -> Verdict:
        return Fallback(connection)


class WaitsForEver(_Quack):
    """Waits for ever."""

    name = "waits-for-ever"

    def one(self, connection: str) -> Verdict:
        return Wait(connection, 1e9)


class Overlooks(_Quack):
    """Says nothing of anybody."""

    name = "overlooks"

    def decide(self, net: NetworkView, impacts: tuple[Impact, ...], now: float) -> tuple[Verdict, ...]:
        return ()


class Contradicts(_Quack):
    """Says two things of each."""

    name = "contradicts"

    def decide(self, net: NetworkView, impacts: tuple[Impact, ...], now: float) -> tuple[Verdict, ...]:
        return tuple(v for i in impacts for v in (Move(i.connection.id), Wait(i.connection.id, 1.0)))


class Sleeps(_Quack):
    """Never answers."""

    name = "sleeps"

    def one(self, connection: str) -> Verdict:
        time.sleep(3600)
        return Move(connection)


class Dies(_Quack):
    """Takes its process down."""

    name = "dies"

    def one(self, connection: str) -> Verdict:
        os.abort()
