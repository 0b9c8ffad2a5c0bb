"""Revoked certificates: who is struck off, and what a KME makes of the list."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509

from kms.errors import PkiError
from kms.pki import authority as pki
from kms.pki.revocation import CRL_FILE, Revocations, read_crl, revoke_sae


def issue(directory: Path, sae: str, name: str = "out") -> int:
    pki.issue_sae(directory / "pki", sae, directory / name)
    return x509.load_pem_x509_certificate((directory / name / "cert.pem").read_bytes()).serial_number


def test_every_certificate_of_the_sae_and_of_nobody_else(tmp_path: Path) -> None:
    first, second, other = issue(tmp_path, "s"), issue(tmp_path, "s"), issue(tmp_path, "t")
    known = Revocations(tmp_path / "pki")
    assert not known.is_revoked(first)
    assert revoke_sae(tmp_path / "pki", "s") == 2
    assert known.is_revoked(first)
    assert known.is_revoked(second)
    assert not known.is_revoked(other)
    assert [sae.sae_id for sae in pki.issued_saes(tmp_path / "pki")] == ["t"]


def test_lists_add_up_and_a_new_certificate_is_good(tmp_path: Path) -> None:
    first = issue(tmp_path, "s")
    revoke_sae(tmp_path / "pki", "s")
    second = issue(tmp_path, "s")
    third = issue(tmp_path, "t")
    revoke_sae(tmp_path / "pki", "t")
    known = Revocations(tmp_path / "pki")
    assert [known.is_revoked(serial) for serial in (first, second, third)] == [True, False, True]


def test_renewed_means_two_good_certificates_of_one_binding(tmp_path: Path) -> None:
    pki.issue_sae(tmp_path / "pki", "s", tmp_path / "out", site="cell1")
    pki.renew_sae(tmp_path / "pki", "s", tmp_path / "new")
    (sae,) = pki.issued_saes(tmp_path / "pki")
    assert sae.site == "cell1"
    assert len({each.serial for each in sae.certificates}) == 2
    assert (tmp_path / "new" / "key.pem").read_bytes() != (tmp_path / "out" / "key.pem").read_bytes()


@pytest.mark.parametrize("sae", ["nobody", "../x", ""])
def test_who_is_not_registered_is_neither_renewed_nor_revoked(tmp_path: Path, sae: str) -> None:
    issue(tmp_path, "s")
    with pytest.raises(PkiError, match="not registered"):
        revoke_sae(tmp_path / "pki", sae)
    with pytest.raises(PkiError, match="not registered"):
        pki.renew_sae(tmp_path / "pki", sae, tmp_path / "new")
    assert not (tmp_path / "pki" / CRL_FILE).exists()


@pytest.mark.parametrize("content", [b"nonsense", b"", None])
def test_a_list_that_is_not_the_authoritys_leaves_the_last_good_one_in_force(
    tmp_path: Path, content: bytes | None
) -> None:
    serial = issue(tmp_path, "s")
    revoke_sae(tmp_path / "pki", "s")
    known = Revocations(tmp_path / "pki")
    assert known.is_revoked(serial)
    if content is None:  # another authority's
        issue(tmp_path / "other", "s")
        revoke_sae(tmp_path / "other" / "pki", "s")
        content = (tmp_path / "other" / "pki" / CRL_FILE).read_bytes()
    (tmp_path / "pki" / CRL_FILE).write_bytes(content)
    assert known.is_revoked(serial)
    authority = x509.load_pem_x509_certificate((tmp_path / "pki" / "ca.pem").read_bytes())
    with pytest.raises(PkiError):
        read_crl(tmp_path / "pki" / CRL_FILE, authority)


def test_what_revoking_would_lose_is_refused(tmp_path: Path) -> None:
    issue(tmp_path, "s")
    (tmp_path / "pki" / CRL_FILE).write_bytes(b"damaged")
    with pytest.raises(PkiError):
        revoke_sae(tmp_path / "pki", "s")
    assert [sae.sae_id for sae in pki.issued_saes(tmp_path / "pki")] == ["s"]


@pytest.mark.parametrize("what", ["revoked", "moved"])
def test_fault_23_who_is_revoked_or_moved_while_a_renewal_waits_for_the_lock_stays_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    pki.issue_sae(tmp_path / "pki", "s", tmp_path / "out", site="cell1")
    really_locked = pki.locked

    @contextmanager
    def locked_after_somebody_else(directory: Path) -> Iterator[None]:
        monkeypatch.setattr(pki, "locked", really_locked)
        if what == "revoked":
            revoke_sae(directory, "s")
        else:
            pki.issue_sae(directory, "s", tmp_path / "moved", site="metro1")
        with really_locked(directory):
            yield

    monkeypatch.setattr(pki, "locked", locked_after_somebody_else)
    if what == "revoked":
        with pytest.raises(PkiError, match="not registered"):
            pki.renew_sae(tmp_path / "pki", "s", tmp_path / "new")
        assert pki.issued_saes(tmp_path / "pki") == []
    else:
        pki.renew_sae(tmp_path / "pki", "s", tmp_path / "new")
        (sae,) = pki.issued_saes(tmp_path / "pki")
        assert sae.site == "metro1"
