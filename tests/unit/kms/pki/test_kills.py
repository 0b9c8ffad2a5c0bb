"""A call that makes secrets may be killed at any point: the next one completes what it left."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from kms.pki import authority
from kms.pki.kme_identity import ECDSA_AND_ML_DSA, KmeIdentity
from tests.support.kill_points import killed_at_each_line


def test_fault_18_an_authority_killed_in_the_making_is_completed(tmp_path: Path) -> None:
    count = 0
    for pki in killed_at_each_line(lambda place: authority.ensure_ca(place), tmp_path, authority):
        authority.ensure_ca(pki)
        authority.issue_sae(pki, "alice", pki / "alice")
        count += 1
    assert count > 15


def test_fault_18_a_renewal_killed_in_the_making_keeps_the_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authority's certificate is near its end. Whenever its renewal dies, who had certificates keeps them."""

    def prepare(place: Path) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(authority, "_CA_LIFETIME", timedelta(days=1))
            patch.setattr(authority, "_RENEW_BEFORE", timedelta(0))
            authority.issue_sae(place, "alice", place / "alice")

    places = killed_at_each_line(authority.ensure_ca, tmp_path, authority, prepare=prepare)
    kills = 0
    for place in places:
        kills += 1
        authority.ensure_ca(place)
        ca = x509.load_pem_x509_certificate((place / "ca.pem").read_bytes())
        leaf = x509.load_pem_x509_certificate((place / "alice" / "cert.pem").read_bytes())
        leaf.verify_directly_issued_by(ca)
    assert kills > 10
    assert ca.not_valid_after_utc - leaf.not_valid_after_utc > timedelta(days=300)


def test_fault_18_a_kmes_keys_killed_in_the_making_are_completed(tmp_path: Path) -> None:
    def act(place: Path) -> None:
        authority.issue_peer(place / "pki", "kme-x", ["127.0.0.1"], place / "kme")

    for place in killed_at_each_line(act, tmp_path, authority):
        act(place)
        KmeIdentity.load(place / "kme", ECDSA_AND_ML_DSA)
