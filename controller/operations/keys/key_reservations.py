"""Key rate that connections hold, as applications of the KMS: booked there, released, and put right by difference.

One booking for every two sites and key source, over all connections between them: a tunnel asks its KME for keys by
these, not by connection. Cards have theirs beside that, over all wavelengths between the two sites. What is wanted
follows from the model and what is there is asked of the KMS, so that the restart of either, or a message that is lost,
is mended at the next look.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from controller.model.cards import PRIORITY
from controller.model.connection import owner_of
from controller.model.errors import DriverError, NotSupported
from controller.model.events import BookingShort
from controller.model.key_rates import BookingFailed, BookingRefused, Holder, KeyBooking
from controller.operations.context import OperationContext
from controller.state.network_state import NetworkState

log = logging.getLogger(__name__)

RETRY_S = 10.0  # after the KMS has promised less than is wanted, or has failed to book


def wanted_bookings(model: NetworkState) -> dict[str, KeyBooking]:
    """By id: what connections hold of QKD sections, and what cards take. Call with the lock held."""
    found = _wanted_by_cards(model)
    for connection in model.connections.values():
        rate = sum(model.network.reserved_rate_millibps(owner_of(connection, lane)) for lane in connection.lanes)
        if rate == 0:
            continue
        a, b = sorted((connection.request.src, connection.request.dst))
        priority = connection.request.spec.priority
        _add(found, KeyBooking(a, b, connection.key_source, math.ceil(rate / 1000), priority))
    return found


def _wanted_by_cards(model: NetworkState) -> dict[str, KeyBooking]:
    """Also where no relay is known to have the rate: cards ask for keys all the same, and the KMS says what it has."""
    found: dict[str, KeyBooking] = {}
    for pair in model.cards:
        if pair.key_rate_millibps:
            rate_bps = math.ceil(pair.key_rate_millibps / 1000)
            _add(found, KeyBooking(pair.a, pair.b, pair.key_source, rate_bps, PRIORITY, Holder.CARD))
    return found


def _add(found: dict[str, KeyBooking], booking: KeyBooking) -> None:
    before = found.get(booking.id)
    if before is not None:
        together = before.rate_bps + booking.rate_bps
        booking = replace(booking, rate_bps=together, priority=max(before.priority, booking.priority))
    found[booking.id] = booking


def differences(
    held: Mapping[str, KeyBooking], wanted: Mapping[str, KeyBooking]
) -> Iterator[tuple[KeyBooking | None, KeyBooking | None]]:
    """What is there and what is to be instead, None for nothing; what is given back comes first."""
    for booking_id in sorted(held.keys() | wanted.keys(), key=lambda each: each in wanted):
        before, after = held.get(booking_id), wanted.get(booking_id)
        if before != after:
            yield before, after


class KeyReservations:
    def __init__(self, context: OperationContext) -> None:
        self._context = context
        self._short: dict[str, tuple[KeyBooking, float]] = {}  # wanted and not promised in full; when to ask again
        self._failed: dict[str, tuple[KeyBooking | None, float]] = {}  # what was to be instead; when to ask again

    def review(self) -> None:
        """To be called whenever the KMS has told its rates."""
        context = self._context
        try:
            held = context.key_rates.bookings()
        except NotSupported:
            return
        except DriverError as error:
            log.warning("key bookings unknown: %s", error)
            return
        with context.lock:
            wanted = wanted_bookings(context.model)
        self._short = {i: short for i, short in self._short.items() if wanted.get(i) == short[0]}
        self._failed = {i: failed for i, failed in self._failed.items() if wanted.get(i) == failed[0]}
        for before, after in differences(held, wanted):
            if self._is_resting(before, after):
                continue
            try:
                self._change(before, after)
            except (BookingFailed, BookingRefused) as error:
                # Of this booking; what the others hold does not hang on it.
                self._note_failed(before, after, error)
            except DriverError as error:
                log.warning("key booking %s: %s", after or before, error)
                return

    def _is_resting(self, before: KeyBooking | None, after: KeyBooking | None) -> bool:
        booking = after or before
        assert booking is not None
        now = self._context.steady()
        is_short = after is not None and before is not None and booking.id in self._short
        if is_short and now < self._short[booking.id][1]:
            return True
        return booking.id in self._failed and now < self._failed[booking.id][1]

    def _note_failed(self, before: KeyBooking | None, after: KeyBooking | None, error: DriverError) -> None:
        booking = after or before
        assert booking is not None
        if booking.id not in self._failed:
            log.warning("key booking %s: %s", booking, error)
        self._failed[booking.id] = after, self._context.steady() + RETRY_S

    def _change(self, before: KeyBooking | None, after: KeyBooking | None) -> None:
        rates = self._context.key_rates
        if after is None:
            assert before is not None
            rates.release(before)
            self._failed.pop(before.id, None)
            return
        try:
            rates.book(after, is_new=before is None)
        except BookingRefused as refusal:
            self._note_short(after, refusal.offer_bps)
            rates.book(replace(after, rate_bps=refusal.offer_bps), is_new=before is None)
        else:
            self._short.pop(after.id, None)
        self._failed.pop(after.id, None)

    def _note_short(self, wanted: KeyBooking, offer_bps: int) -> None:
        if wanted.id not in self._short:
            log.warning("key booking %s: the KMS promises %d bit/s", wanted, offer_bps)
            short = BookingShort(wanted.a, wanted.b, wanted.key_source, wanted.rate_bps, offer_bps)
            self._context.events.publish(short)
        self._short[wanted.id] = wanted, self._context.steady() + RETRY_S
