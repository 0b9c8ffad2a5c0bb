"""A recorder of one-time authentication keys: no key makes tags of two messages, and none checks two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kms.sources.qkd.post_processing import authentication


class OneTimeKeyUsedTwice(AssertionError):
    pass


class Recorder:
    """What each key was used for: the message that it made tags of, and what it checked."""

    def __init__(self) -> None:
        self.tagged: dict[bytes, bytes] = {}
        self.checked: dict[bytes, tuple[bytes, bytes]] = {}

    def note_tag(self, key: bytes, message: bytes) -> None:
        if self.tagged.setdefault(bytes(key), bytes(message)) != message:
            raise OneTimeKeyUsedTwice("a one-time key makes tags of two messages")

    def note_check(self, key: bytes, message: bytes, tag: bytes) -> None:
        if self.checked.setdefault(bytes(key), (bytes(message), bytes(tag))) != (message, tag):
            raise OneTimeKeyUsedTwice("a one-time key checks two messages")


def install(recorder: Recorder) -> Callable[[], None]:
    """Record every tag and every check of this process from now on; the way back."""
    make_tag, check = authentication.tag, authentication.check

    def recorded_tag(one_time_key: bytes, message: bytes) -> bytes:
        recorder.note_tag(one_time_key, message)
        return make_tag(one_time_key, message)

    def recorded_check(one_time_key: bytes, message: bytes, received_tag: bytes, what: str) -> None:
        recorder.note_check(one_time_key, message, received_tag)
        check(one_time_key, message, received_tag, what)

    def restore() -> None:
        authentication.tag, authentication.check = make_tag, check

    authentication.tag, authentication.check = recorded_tag, recorded_check
    return restore


@contextmanager
def recorded() -> Iterator[Recorder]:
    recorder = Recorder()
    restore = install(recorder)
    try:
        yield recorder
    finally:
        restore()
