"""Diffie-Hellman, the NTRU-family KEM, and hybrids of sources."""

from __future__ import annotations

import hashlib
import hmac
import subprocess
import sys
from fractions import Fraction

import pytest

from kms.errors import ExchangeError
from kms.keys import KeySource, Route, Source
from kms.sources.agreement import AgreedKey, KeyAgreement
from kms.sources.dh import DH_GROUPS, FFDHE3072_PRIME, DhSource, Ffdhe3072Endpoint, X25519Endpoint
from kms.sources.hybrid import LABEL, HybridSource, cat_kdf
from kms.sources.qra import KEY_PAIR_USES, QraSource, Sntrup761, best_kem, liboqs_is_installed

SOURCES: list[KeyAgreement] = [DhSource("x25519"), DhSource("ffdhe3072"), QraSource(Sntrup761())]


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.algorithm)
@pytest.mark.parametrize("size_bits", [64, 256, 520, 1024])
def test_both_ends_agree_on_keys_that_nobody_had_before(source: KeyAgreement, size_bits: int) -> None:
    keys = source.agree("cell1", "core1", 3, size_bits)
    assert [len(k.at_a) * 8 for k in keys] == [size_bits] * 3
    assert all(k.at_a == k.at_b for k in keys)
    assert len({k.at_a for k in keys}) == 3


def test_the_group_is_that_of_rfc_7919() -> None:
    # RFC 7919, A.2: p = 2^3072 - 2^3008 + {[2^2942 * e] + 2625351} * 2^64 - 1
    e, term = Fraction(0), Fraction(1)
    for n in range(1, 600):
        e += term
        term /= n
    whole = int(e * 2**2942)
    assert 2**3072 - 2**3008 + (whole + 2625351) * 2**64 - 1 == FFDHE3072_PRIME


@pytest.mark.parametrize("value", [0, 1, FFDHE3072_PRIME - 1, FFDHE3072_PRIME, FFDHE3072_PRIME + 2])
def test_finite_field_values_of_tiny_order_are_refused(value: int) -> None:
    with pytest.raises(ExchangeError):
        Ffdhe3072Endpoint().secret_with(value.to_bytes(385, "big")[-384:])


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31), b"", bytes(31)])
def test_x25519_values_of_small_order_or_wrong_length_are_refused(public: bytes) -> None:
    with pytest.raises(ExchangeError):
        X25519Endpoint().secret_with(public)


def test_every_group_in_the_table_works_end_to_end() -> None:
    for endpoint in DH_GROUPS.values():
        a, b = endpoint(), endpoint()
        assert a.secret_with(b.public) == b.secret_with(a.public)


def test_a_forged_ciphertext_gives_the_forger_nothing() -> None:
    kem = Sntrup761()
    public, private = kem.generate()
    ciphertext, secret = kem.encapsulate(public)
    forged = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    assert kem.decapsulate(private, ciphertext) == secret
    assert kem.decapsulate(private, forged) != secret
    with pytest.raises(ExchangeError):
        kem.decapsulate(private, ciphertext[1:])
    with pytest.raises(ExchangeError):
        kem.encapsulate(public[1:])


def test_a_key_pair_is_replaced_after_its_uses() -> None:
    class CountingKem(Sntrup761):
        made = 0

        def generate(self) -> tuple[bytes, bytes]:
            self.made += 1
            return super().generate()

    kem = CountingKem()
    source = QraSource(kem)
    for _ in range(KEY_PAIR_USES + 1):
        source.agree("a", "b", 1, 256)
    assert kem.made == 2


def test_oqs_is_never_imported_where_its_library_is_missing() -> None:
    # Importing it would clone and build the library off the network.
    if liboqs_is_installed({}):
        assert best_kem({}).algorithm
        return
    program = (
        "import sys; from kms.sources.qra import best_kem; "
        "print(best_kem({'OQS_INSTALL_PATH': '/nonexistent'}).algorithm, 'oqs' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["sntrup761", "False"]


def reference_cat_kdf(
    secrets: tuple[bytes, ...], label: bytes, info: bytes, ma: bytes, mb: bytes, length: int
) -> bytes:
    """ETSI TS 103 744 CatKDF over RFC 5869, from the standard library alone."""

    def framed(part: bytes) -> bytes:
        return len(part).to_bytes(4, "big") + part

    context = hashlib.sha512(framed(info) + framed(ma) + framed(mb)).digest()
    extracted = hmac.new(label, b"".join(secrets), hashlib.sha512).digest()
    block, out = b"", b""
    for counter in range(1, 1 + -(-length // 64)):
        block = hmac.new(extracted, block + context + bytes([counter]), hashlib.sha512).digest()
        out += block
    return out[:length]


def test_cat_kdf_agrees_with_an_independent_one() -> None:
    arguments = ((b"p" * 32, b"1" * 32, b"2" * 32), LABEL, b"info", b"from a", b"from b", 100)
    assert cat_kdf(*arguments) == reference_cat_kdf(*arguments)


class FixedSource:
    algorithm = "fixed"

    def __init__(self, key: bytes) -> None:
        self._key = key

    def can_join(self, a: str, b: str, route: Route | None = None) -> bool:
        return True

    def agree(self, a: str, b: str, count: int, size_bits: int, route: Route | None = None) -> list[AgreedKey]:
        return [AgreedKey(self._key, self._key, b"ma" + self._key[:1], b"mb")] * count


def hybrid(**keys: bytes) -> bytes:
    parts = {Source(name): FixedSource(key) for name, key in keys.items()}
    (agreed,) = HybridSource(KeySource(tuple(parts)), parts).agree("a", "b", 1, 256)
    assert agreed.at_a == agreed.at_b
    return agreed.at_a


def test_every_part_of_a_hybrid_counts() -> None:
    base = {"qkd": b"q" * 32, "qra": b"r" * 32, "dh": b"d" * 32}
    outcomes = {hybrid(**base)}
    for name in base:
        outcomes.add(hybrid(**{**base, name: b"x" * 32}))
    assert len(outcomes) == 4


def test_a_real_hybrid_agrees_at_both_ends() -> None:
    parts: dict[Source, KeyAgreement] = {Source.DH: DhSource(), Source.QRA: QraSource(Sntrup761())}
    for key in HybridSource(KeySource.parse("dh+qra"), parts).agree("a", "b", 2, 1024):
        assert key.at_a == key.at_b
        assert len(key.at_a) == 128


def test_an_agreed_key_does_not_show_its_bytes() -> None:
    assert "secret" not in repr(AgreedKey(b"secret", b"secret"))
