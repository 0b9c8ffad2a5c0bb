"""The exchange between two KMEs: both ends get the same keys; what is altered, replayed or weakened is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import random
from collections.abc import Mapping

import pytest
from cryptography import x509

from kms.errors import ExchangeError
from kms.keys.key import KeySource, Source
from kms.pki.authority import KME_URN
from kms.pki.kme_identity import ECDSA, ECDSA_AND_ML_DSA
from kms.sources.agreement import Mechanism, framed, unframed
from kms.sources.dh import DH_GROUPS, DhSource
from kms.sources.exchange import FRESH_S, Party, Terms
from kms.sources.hybrid import Exchanged
from kms.sources.kems import choose_kem
from kms.sources.qra import QraSource
from tests.support.parties import Authority, every_mechanism, parties

NOW = 1_790_000_000.0


def terms(source: str = "qra+dh", count: int = 3, size_bits: int = 256, batch: str = "batch") -> Terms:
    return Terms(KeySource.parse(source), count, size_bits, batch)


def exchange(a: Party, b: Party, about: Terms) -> tuple[Exchanged, Exchanged]:
    opening = a.open(b.site, about, NOW)
    answered = b.answer(opening.message, NOW)
    assert (answered.initiator, answered.terms) == (a.site, about)
    return opening.finish(answered.reply, NOW), answered.exchanged


@pytest.mark.parametrize("algorithm", [ECDSA, ECDSA_AND_ML_DSA])
@pytest.mark.parametrize("source", ["dh", "qra", "qra+dh"])
@pytest.mark.parametrize("size_bits", [64, 256, 520, 1024])
def test_both_ends_agree_on_keys_that_nobody_had_before(algorithm: str, source: str, size_bits: int) -> None:
    sites = parties("ab", algorithm=algorithm)
    about = terms(source, 3, size_bits)
    seen: set[bytes] = set()
    for _ in range(2):
        at_a, at_b = exchange(sites["a"], sites["b"], about)
        keys = at_a.keys(3, size_bits)
        assert keys == at_b.keys(3, size_bits)
        assert [8 * len(key) for key in keys] == [size_bits] * 3
        seen |= set(keys)
    assert len(seen) == 6


@pytest.mark.parametrize("group", DH_GROUPS)
@pytest.mark.parametrize("kem", ["ML-KEM-1024", "sntrup761+ML-KEM-768"])
def test_every_policy_agrees(group: str, kem: str) -> None:
    sites = parties("ab", lambda: {Source.DH: DhSource(group), Source.QRA: QraSource(choose_kem(kem, {}))})
    at_a, at_b = exchange(sites["a"], sites["b"], terms())
    assert at_a.keys(2, 256) == at_b.keys(2, 256)


def test_every_part_of_a_hybrid_counts_and_so_does_what_it_is_bound_to() -> None:
    base = Exchanged({Source.DH: b"d" * 32, Source.QRA: b"r" * 32}, b"info", b"ma", b"mb")
    variants = [
        base,
        dataclasses.replace(base, secrets={**base.secrets, Source.DH: b"x" * 32}),
        dataclasses.replace(base, secrets={**base.secrets, Source.QRA: b"x" * 32}),
        dataclasses.replace(base, info=b"other algorithms"),
        dataclasses.replace(base, ma=b"other"),
        dataclasses.replace(base, mb=b"other"),
    ]
    keys = [variant.keys(1, 256, [b"q" * 32])[0] for variant in variants]
    keys += base.keys(1, 256, [b"x" * 32]) + base.keys(1, 256)
    assert len(set(keys)) == len(keys)
    assert "rrr" not in repr(base)


@pytest.mark.parametrize("algorithm", [ECDSA, ECDSA_AND_ML_DSA])
def test_a_message_changed_in_any_place_is_refused(algorithm: str) -> None:
    sites = parties("ab", algorithm=algorithm)
    opening = sites["a"].open("b", terms(), NOW)
    reply = sites["b"].answer(opening.message, NOW).reply
    chance = random.Random(3)
    for message, receive in (
        (opening.message, lambda m: sites["b"].answer(m, NOW)),
        (reply, lambda m: opening.finish(m, NOW)),
    ):
        places = {*range(12), len(message) - 1, *(chance.randrange(len(message)) for _ in range(150))}
        for place in places:
            changed = message[:place] + bytes([message[place] ^ 1 << chance.randrange(8)]) + message[place + 1 :]
            with pytest.raises(ExchangeError):
                receive(changed)
        for cut in (0, 1, len(message) // 2, len(message) - 1):
            with pytest.raises(ExchangeError):
                receive(message[:cut])


def test_a_replayed_hello_is_refused_and_so_is_one_out_of_time() -> None:
    sites = parties("ab")
    message = sites["a"].open("b", terms(), NOW).message
    sites["b"].answer(message, NOW)
    for later in (0.0, 1.0, FRESH_S):
        with pytest.raises(ExchangeError, match="before"):
            sites["b"].answer(message, NOW + later)
    for later in (FRESH_S + 1, 1e6):
        with pytest.raises(ExchangeError, match="old"):
            sites["b"].answer(message, NOW + later)
    ahead = sites["a"].open("b", terms(), NOW + FRESH_S + 1).message
    with pytest.raises(ExchangeError, match="clocks"):
        sites["b"].answer(ahead, NOW)


def test_a_reply_to_another_hello_is_refused() -> None:
    sites = parties("ab")
    first, second = sites["a"].open("b", terms(), NOW), sites["a"].open("b", terms(), NOW)
    reply = sites["b"].answer(first.message, NOW).reply
    with pytest.raises(ExchangeError, match="another hello"):
        second.finish(reply, NOW)


def test_a_hello_for_another_or_reflected_is_refused() -> None:
    sites = parties("abc")
    message = sites["a"].open("b", terms(), NOW).message
    for site in ("a", "c"):
        with pytest.raises(ExchangeError, match="not for this KME"):
            sites[site].answer(message, NOW)
    opening = sites["a"].open("b", terms(), NOW)
    reply = sites["c"].answer(sites["a"].open("c", terms(), NOW).message, NOW).reply
    with pytest.raises(ExchangeError, match="not that of the KME of"):
        opening.finish(reply, NOW)


def with_other(
    authority: Authority,
    site: str,
    mechanisms: Mapping[Source, Mechanism] | None = None,
    algorithm: str = ECDSA,
    urn: str = KME_URN,
) -> Party:
    identity = authority.identity(f"kme-{site}", algorithm, urn)
    return Party(site, mechanisms or every_mechanism(), identity, authority.directory("ab", algorithm), os.urandom)


def test_who_is_no_kme_of_this_authority_is_refused() -> None:
    authority, foreign = Authority(), Authority()
    b = with_other(authority, "b")
    for stranger, why in (
        (with_other(foreign, "a"), "authority"),
        (with_other(authority, "a", urn="urn:qslice:sae:"), "not a KME's"),
        (
            Party("a", every_mechanism(), authority.identity("kme-c"), authority.directory("ab"), os.urandom),
            "not that of the KME of",
        ),
    ):
        with pytest.raises(ExchangeError, match=why):
            b.answer(stranger.open("b", terms(), NOW).message, NOW)
    a = with_other(authority, "a")
    b.answer(a.open("b", terms(), NOW).message, NOW)
    authority.revoked.add(_serial(a))
    with pytest.raises(ExchangeError, match="not in force"):
        b.answer(a.open("b", terms(), NOW).message, NOW)


def _serial(party: Party) -> int:
    return x509.load_der_x509_certificate(unframed(party._signer.credential, 1)[0]).serial_number


def test_a_weaker_policy_at_the_other_end_is_refused_not_followed() -> None:
    authority = Authority()
    strong = with_other(authority, "b", {Source.DH: DhSource(), Source.QRA: QraSource(choose_kem("ML-KEM-1024", {}))})
    weak = with_other(authority, "a", {Source.DH: DhSource(), Source.QRA: QraSource(choose_kem("ML-KEM-768", {}))})
    with pytest.raises(ExchangeError, match="another policy"):
        strong.answer(weak.open("b", terms("qra"), NOW).message, NOW)
    # Whoever demands ML-DSA takes no message without it, and the other way round.
    demanding = with_other(authority, "b", algorithm=ECDSA_AND_ML_DSA)
    with pytest.raises(ExchangeError):
        demanding.answer(with_other(authority, "a").open("b", terms(), NOW).message, NOW)
    with pytest.raises(ExchangeError):
        with_other(authority, "a").answer(
            with_other(authority, "b", algorithm=ECDSA_AND_ML_DSA).open("a", terms(), NOW).message, NOW
        )


def test_a_part_cannot_be_dropped_by_whoever_sits_between() -> None:
    sites = parties("ab")
    hello, credential, signature = unframed(sites["a"].open("b", terms("qra+dh"), NOW).message, 3)
    fields = json.loads(hello)
    fields["source"] = "dh"
    del fields["offers"]["qra"], fields["algorithms"]["qra"]
    with pytest.raises(ExchangeError, match="not signed"):
        sites["b"].answer(framed(json.dumps(fields).encode(), credential, signature), NOW)


def test_fault_30_a_clock_that_is_set_forth_and_back_lets_no_hello_in_twice() -> None:
    both = parties("ab")
    a, b = both["a"], both["b"]
    replayed = a.open("b", terms(), NOW).message
    b.answer(replayed, NOW)
    ahead = NOW + 3_600.0
    b.answer(a.open("b", terms(), ahead).message, ahead)
    with pytest.raises(ExchangeError, match="came before"):
        b.answer(replayed, NOW + 1.0)
