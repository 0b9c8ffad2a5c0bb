"""Diffie-Hellman, the NTRU-family KEM, and hybrids of sources."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
from fractions import Fraction
from typing import get_args

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dh

from kms.config import DhGroup
from kms.errors import ConfigError, ExchangeError
from kms.sources import ffdhe
from kms.sources.agreement import AgreedKey
from kms.sources.dh import DH_GROUPS
from kms.sources.hybrid import LABEL, cat_kdf
from kms.sources.kems import (
    LIBOQS_MECHANISMS,
    SNTRUP761,
    PqcryptoKem,
    best_kem,
    choose_kem,
    kems_here,
    liboqs_is_installed,
)
from kms.sources.qra import KEY_PAIR_USES, QraSource
from scripts.testbed.paths import REPOSITORY


def test_the_groups_are_those_of_rfc_7919() -> None:
    # RFC 7919, A.2: p = 2^3072 - 2^3008 + {[2^2942 * e] + 2625351} * 2^64 - 1
    e, term = Fraction(0), Fraction(1)
    for n in range(1, 600):
        e += term
        term /= n
    whole = int(e * 2**2942)
    assert 2**3072 - 2**3008 + (whole + 2625351) * 2**64 - 1 == ffdhe.group("ffdhe3072").prime


@pytest.mark.parametrize("name", ffdhe.NAMES)
def test_openssl_has_the_same_groups(name: str) -> None:
    shown = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "DH", "-pkeyopt", f"group:{name}", "-outform", "DER"],
        capture_output=True, check=True,
    )  # fmt: skip
    key = serialization.load_der_private_key(shown.stdout, None)
    assert isinstance(key, dh.DHPrivateKey)
    numbers = key.parameters().parameter_numbers()
    assert (numbers.p, numbers.g) == (ffdhe.group(name).prime, ffdhe.GENERATOR)


@pytest.mark.parametrize("name", ffdhe.NAMES)
def test_finite_field_values_of_tiny_order_are_refused(name: str) -> None:
    endpoint, group = DH_GROUPS[name](), ffdhe.group(name)
    for value in (0, 1, group.prime - 1, group.prime, group.prime + 2):
        with pytest.raises(ExchangeError, match=name):
            endpoint.secret_with(value.to_bytes(group.size + 1, "big")[-group.size :])
    with pytest.raises(ExchangeError):
        endpoint.secret_with(b"\x00" + endpoint.public)


@pytest.mark.parametrize("name", ["secp256r1", "secp384r1"])
def test_points_that_are_not_on_the_curve_are_refused(name: str) -> None:
    endpoint = DH_GROUPS[name]()
    off = endpoint.public[:-1] + bytes([endpoint.public[-1] ^ 1])
    for public in (off, b"\x00", b"", endpoint.public[1:], b"\x04" + bytes(len(endpoint.public) - 1)):
        with pytest.raises(ExchangeError, match=name):
            endpoint.secret_with(public)


def test_the_configuration_names_the_groups_that_there_are() -> None:
    assert get_args(DhGroup) == tuple(DH_GROUPS)


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31), b"", bytes(31)])
def test_x25519_values_of_small_order_or_wrong_length_are_refused(public: bytes) -> None:
    with pytest.raises(ExchangeError):
        DH_GROUPS["x25519"]().secret_with(public)


@pytest.mark.parametrize("name", DH_GROUPS)
def test_every_group_in_the_table_works_end_to_end(name: str) -> None:
    a, b, other = (DH_GROUPS[name]() for _ in range(3))
    assert a.secret_with(b.public) == b.secret_with(a.public)
    assert a.secret_with(other.public) != a.secret_with(b.public)


def test_a_forged_ciphertext_gives_the_forger_nothing() -> None:
    kem = PqcryptoKem(SNTRUP761)
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
    class CountingKem(PqcryptoKem):
        made = 0

        def generate(self) -> tuple[bytes, bytes]:
            self.made += 1
            return super().generate()

    kem = CountingKem(SNTRUP761)
    source = QraSource(kem)
    for _ in range(KEY_PAIR_USES + 1):
        public, finish = source.offer()
        ciphertext, secret = source.answer(public)
        assert finish(ciphertext) == secret
    assert kem.made == 2


def test_oqs_is_never_imported_where_its_library_is_missing() -> None:
    # Importing it would clone and build the library off the network.
    if liboqs_is_installed({}):
        assert best_kem({}).algorithm
        return
    program = (
        "import sys; from kms.sources.kems import best_kem; "
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


def test_cat_kdf_gives_the_standards_own_vector() -> None:
    """Annex C.2.7, the standard's vector for the hash that we use; label = LA || LB, MA = LA || PA1 || PA2."""
    vector = json.loads((REPOSITORY / "tests" / "vectors" / "ts_103_744.json").read_text())
    la, pa1, pa2, lb, pb1, pb2, k1, k2, key = (
        bytes.fromhex(vector[name]) for name in ("LA", "PA1", "PA2", "LB", "PB1", "PB2", "k1", "k2", "key_material")
    )
    info = vector["info"].encode()
    assert cat_kdf((b"", k1, k2), la + lb, info, la + pa1 + pa2, lb + pb1 + pb2, len(key)) == key
    assert cat_kdf((b"x", k1, k2), la + lb, info, la + pa1 + pa2, lb + pb1 + pb2, len(key)) != key


# Made by reference_cat_kdf, and fixed: every key that was ever agreed depends on it.
CAT_KDF_VECTOR = "8e8be326bfbb88a050fb151c4aad000b09e1f728ba91ea065868d09cd9cf7c54125ad7d07cd5ac1341d275ce44d8f33c"


def test_cat_kdf_gives_what_it_always_gave() -> None:
    secrets = (bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96)))
    made = cat_kdf(secrets, b"label", b"info", b"message of a", b"message of b", 48)
    assert made.hex() == CAT_KDF_VECTOR
    assert made == reference_cat_kdf(secrets, b"label", b"info", b"message of a", b"message of b", 48)


@pytest.mark.parametrize("policy", [*kems_here({}), "sntrup761+ML-KEM-768", "ML-KEM-1024+HQC-128", "auto"])
def test_every_mechanism_that_a_policy_can_name(policy: str) -> None:
    kem = choose_kem(policy, {})
    public, private = kem.generate()
    ciphertext, secret = kem.encapsulate(public)
    assert kem.decapsulate(private, ciphertext) == secret
    assert len(secret) >= 32
    forged = ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])
    assert kem.decapsulate(private, forged) != secret
    for broken in (public[1:], public + b"x", b""):
        with pytest.raises(ExchangeError):
            kem.encapsulate(broken)
    with pytest.raises(ExchangeError):
        kem.decapsulate(private, ciphertext[1:])


@pytest.mark.parametrize("policy", ["", "rsa", "sntrup761+", "sntrup761+sntrup761"])
def test_a_policy_that_names_nothing_we_have_is_refused(policy: str) -> None:
    with pytest.raises(ConfigError, match="qra_kem"):
        choose_kem(policy, {})


def test_ntru_as_submitted_is_refused_without_liboqs_rather_than_replaced() -> None:
    if liboqs_is_installed({}):
        assert choose_kem("NTRU-HPS-2048-677", {}).algorithm == "NTRU-HPS-2048-677"
        return
    with pytest.raises(ConfigError, match=r"liboqs.*here there are sntrup653, .*ML-KEM-1024$"):
        choose_kem("NTRU-HPS-2048-677", {})


@pytest.mark.parametrize("name", LIBOQS_MECHANISMS)
def test_the_ntru_family_of_liboqs_where_it_is(name: str) -> None:
    if not liboqs_is_installed(os.environ):
        pytest.skip("no liboqs shared library on this machine: it is no Debian 12 package, and no wheel brings it")
    import oqs

    if name not in oqs.get_enabled_kem_mechanisms():
        pytest.skip(f"liboqs {oqs.oqs_version()} was built without {name}: NTRU is there from 0.14 on")
    kem = choose_kem(name, os.environ)
    public, private = kem.generate()
    ciphertext, secret = kem.encapsulate(public)
    assert kem.decapsulate(private, ciphertext) == secret
    assert len(secret) >= 32
    assert kem.decapsulate(private, ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])) != secret
    for broken in (public[1:], public + b"x", b""):
        with pytest.raises(ExchangeError):
            kem.encapsulate(broken)
    with pytest.raises(ExchangeError):
        kem.decapsulate(private, ciphertext[1:])
    if name == SNTRUP761:  # whichever library made it
        other = PqcryptoKem(SNTRUP761)
        assert other.decapsulate(private, ciphertext) == secret
        ciphertext, secret = other.encapsulate(public)
        assert kem.decapsulate(private, ciphertext) == secret


def test_an_agreed_key_does_not_show_its_bytes() -> None:
    assert "secret" not in repr(AgreedKey(b"secret", b"secret"))
