"""Who may leave how many keys with the KMS: delivered to a master, not fetched by their slaves yet. Pure.

The room is limited in keys and in bits, and it is shared: whoever never has its keys fetched fills its own share, and
nobody else's. An SAE has a share over all of its slaves, each pair of master and slave a smaller one, so that a single
slave that is away does not stop its master. What is kept for booked applications (the operator's: their priority is
above LOWEST_PRIORITY) nobody else gets.
"""

from __future__ import annotations

from collections.abc import Sequence

from kms.errors import NoRoomError
from kms.keys.limits import Limits
from kms.keys.waiting_counts import Amount, WaitingCounts


class WaitingRoom:
    def __init__(self, limits: Limits, can_book: bool) -> None:
        """``can_book`` says whether there may be booked applications at all."""
        # No share is less than one request may ask for.
        least = Amount(limits.max_key_per_request, limits.max_key_per_request * limits.max_key_size)
        self._whole = Amount(limits.max_awaiting_keys, limits.max_awaiting_bits)
        self._of_sae = _share(self._whole, limits.awaiting_share_of_sae, least)
        self._of_pair = _share(self._whole, limits.awaiting_share_of_pair, least)
        kept = limits.awaiting_share_booked if can_book else 0.0
        kept_for_booked = _share(self._whole, kept, Amount())
        self._unbooked = Amount(self._whole.keys - kept_for_booked.keys, self._whole.bits - kept_for_booked.bits)

    def require(
        self, counts: WaitingCounts, master: str, slaves: Sequence[str], amount: Amount, is_booked: bool
    ) -> None:
        """NoRoomError when the master's keys have no room beside what waits by ``counts``.

        Who goes on counts them at once (:meth:`WaitingCounts.add`): so nobody else gets the room meanwhile.
        """
        if amount.exceeds(self._whole if is_booked else self._unbooked, beside=counts.total):
            raise NoRoomError("too many delivered keys wait for their slaves")
        if not is_booked and amount.exceeds(self._of_sae, beside=counts.of_master(master)):
            raise NoRoomError(f"too many delivered keys of SAE {master} wait for their slaves")
        for slave in slaves:
            if amount.exceeds(self._of_pair, beside=counts.of_pair(master, slave)):
                raise NoRoomError(f"too many delivered keys of SAE {master} wait for their slaves: {slave} is behind")


def _share(whole: Amount, part: float, least: Amount) -> Amount:
    return Amount(max(int(whole.keys * part), least.keys), max(int(whole.bits * part), least.bits))
