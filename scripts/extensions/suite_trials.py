"""A cipher suite tried: its own vectors, and what every suite must do. None seals a packet before it has passed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.extensions.api import SUITE_ICV_BYTES, SUITE_NONCE_BYTES, SuiteVector
from scripts.extensions.errors import ExtensionError
from scripts.extensions.protocols import CipherSuite

LEAST_KEY_BYTES, MOST_KEY_BYTES = 16, 64
LONGEST = 9000  # octets of a jumbo frame
QUICK = (*range(66), 576, 1400, LONGEST)
"""Lengths tried wherever a suite is loaded."""
_AAD_BYTES = 8  # SPI and sequence number
_WINDOW = 8  # octets of plaintext that do not stand in a seal by chance
_BLOCK = 16


@dataclass(frozen=True)
class Trial:
    """One thing that a suite must do. ``detail`` says how often it did, or what it did instead."""

    name: str
    holds: bool
    detail: str


class _Wrong(Exception):
    pass


@dataclass(frozen=True)
class _Inputs:
    key: bytes
    nonce: bytes
    aad: bytes
    text: bytes

    @classmethod
    def random(cls, key_bytes: int, length: int) -> _Inputs:
        return cls(*(os.urandom(size) for size in (key_bytes, SUITE_NONCE_BYTES, _AAD_BYTES, length)))


def key_bytes_of(suite: CipherSuite) -> int:
    """How long its keys are: as long as those of its vectors, which have been tried."""
    return len(suite.vectors()[0].key)


def tried(suite: CipherSuite, lengths: Sequence[int]) -> Iterator[Trial]:
    """Each trial in turn, up to the first that fails: nothing else is asked of a suite that lies."""
    trials: dict[str, Callable[[CipherSuite, Sequence[int]], int]] = {
        "its vectors hold": _vectors,
        "it opens what it sealed, 16 octets longer": _round_trips,
        "it refuses whatever was changed": _changes,
        "it hides the plaintext": _hides,
        "it keeps nothing between calls": _state,
    }
    for name, trial in trials.items():
        try:
            count = trial(suite, lengths)
        except _Wrong as wrong:
            yield Trial(name, False, str(wrong))
            return
        except ExtensionError as error:
            yield Trial(name, False, f"{error.fault.value}: {error}")
            return
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is others' code
            yield Trial(name, False, f"raised: {type(error).__name__}: {error}")
            return
        yield Trial(name, True, f"{count} of {count}")


def _vectors(suite: CipherSuite, _lengths: Sequence[int]) -> int:
    vectors: Any = suite.vectors()
    if not isinstance(vectors, tuple) or not vectors or any(type(each) is not SuiteVector for each in vectors):
        raise _Wrong("vectors() must give a tuple of SuiteVector, not empty")
    for number, vector in enumerate(vectors, start=1):
        parts = (vector.key, vector.nonce, vector.aad, vector.plaintext, vector.sealed)
        if any(type(part) is not bytes for part in parts):
            raise _Wrong(f"vector {number}: all its parts must be bytes")
        if len(vector.key) != len(vectors[0].key) or not LEAST_KEY_BYTES <= len(vector.key) <= MOST_KEY_BYTES:
            raise _Wrong(f"vector {number}: keys must be of one length, {LEAST_KEY_BYTES} to {MOST_KEY_BYTES} octets")
        if len(vector.nonce) != SUITE_NONCE_BYTES:
            raise _Wrong(f"vector {number}: a nonce of {len(vector.nonce)} octets, and not {SUITE_NONCE_BYTES}")
        inputs = _Inputs(vector.key, vector.nonce, vector.aad, vector.plaintext)
        if _seal(suite, inputs) != vector.sealed:
            raise _Wrong(f"vector {number}: it seals to something else")
        if _open(suite, inputs, vector.sealed) != vector.plaintext:
            raise _Wrong(f"vector {number}: it does not open")
    if max(len(vector.plaintext) for vector in vectors) < _BLOCK:
        raise _Wrong(f"no vector has a plaintext of {_BLOCK} octets or more")
    return len(vectors)


def _round_trips(suite: CipherSuite, lengths: Sequence[int]) -> int:
    size = key_bytes_of(suite)
    for length in lengths:
        inputs = _Inputs.random(size, length)
        if _open(suite, inputs, _seal(suite, inputs)) != inputs.text:
            raise _Wrong(f"{length} octets do not come back")
    return len(lengths)


def _changes(suite: CipherSuite, _lengths: Sequence[int]) -> int:
    """Every bit of key, nonce, associated data and seal flipped, the seal cut short and made longer."""
    size, count = key_bytes_of(suite), 0
    for length in (0, 37):
        good = _Inputs.random(size, length)
        sealed = _seal(suite, good)
        key, nonce, aad = good.key, good.nonce, good.aad
        changed = [
            *(("key", _Inputs(other, nonce, aad, b""), sealed) for other in _flipped(key)),
            *(("nonce", _Inputs(key, other, aad, b""), sealed) for other in _flipped(nonce)),
            *(("associated data", _Inputs(key, nonce, other, b""), sealed) for other in _flipped(aad)),
            *(("seal", good, other) for other in _flipped(sealed)),
            *(("seal, cut short,", good, sealed[:end]) for end in range(len(sealed))),
            ("seal, made longer,", good, sealed + b"\0"),
        ]
        for what, inputs, octets in changed:
            if _open(suite, inputs, octets) is not None:
                raise _Wrong(f"it opens {len(octets)} octets though another {what} was sealed")
        count += len(changed)
    return count


def _flipped(octets: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(octets)):
        yield bytes(octet ^ (bit // 8 == at) << bit % 8 for at, octet in enumerate(octets))


def _hides(suite: CipherSuite, _lengths: Sequence[int]) -> int:
    size = key_bytes_of(suite)
    first = _Inputs.random(size, 256)
    windows = [first.text[at : at + _WINDOW] for at in range(len(first.text) - _WINDOW + 1)]
    sealed = _seal(suite, first)
    if any(window in sealed for window in windows):
        raise _Wrong("the plaintext can be read in what it seals")
    zeros = bytes(256 * _BLOCK)
    others = [
        _Inputs(first.key, first.nonce, first.aad, zeros),
        _Inputs(first.key, os.urandom(SUITE_NONCE_BYTES), first.aad, zeros),
        _Inputs(os.urandom(size), first.nonce, first.aad, zeros),
    ]
    blocks = [
        text[at : at + _BLOCK]
        for text in (_seal(suite, each)[: len(zeros)] for each in others)
        for at in range(0, len(zeros), _BLOCK)
    ]
    if len(set(blocks)) != len(blocks):
        raise _Wrong("equal plaintexts look alike within a packet, under other nonces or other keys")
    return len(windows) + len(blocks)


def _state(suite: CipherSuite, _lengths: Sequence[int]) -> int:
    """The same answers in another order, after calls under other keys and calls that were refused."""
    size = key_bytes_of(suite)
    asked = [_Inputs.random(size, length) for length in (0, 1, 64, 1400, 64)]
    sealed = [_seal(suite, each) for each in asked]
    for inputs, before in reversed(list(zip(asked, sealed, strict=True))):
        _open(suite, inputs, bytes(len(before)))
        if _open(suite, inputs, before) != inputs.text or _seal(suite, inputs) != before:
            raise _Wrong("asked again it answers something else")
    return 2 * len(asked)


def _seal(suite: CipherSuite, inputs: _Inputs) -> bytes:
    sealed: Any = _unchanged(suite.seal, inputs, inputs.text)
    if type(sealed) is not bytes or len(sealed) != len(inputs.text) + SUITE_ICV_BYTES:
        found = f"{len(sealed)} octets" if isinstance(sealed, bytes) else f"a {type(sealed).__name__}"
        raise _Wrong(f"a seal of {len(inputs.text)} octets is {found}, and not {SUITE_ICV_BYTES} longer")
    return sealed


def _open(suite: CipherSuite, inputs: _Inputs, sealed: bytes) -> bytes | None:
    opened: Any = _unchanged(suite.open, inputs, sealed)
    if opened is None or type(opened) is bytes:
        return opened
    raise _Wrong(f"open gives a {type(opened).__name__}, and neither bytes nor None")


def _unchanged(call: Callable[[bytes, bytes, bytes, bytes], Any], inputs: _Inputs, text: bytes) -> Any:
    given = (inputs.key, inputs.nonce, inputs.aad, text)
    copies = [bytes(bytearray(part)) for part in given]
    answer = call(*given)
    if list(given) != copies:
        raise _Wrong("it changes what it was given")
    return answer
