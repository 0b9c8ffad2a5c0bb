"""Revoked certificates: who is struck off, and what a KME makes of the list."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509

from kms.errors import PkiError, RevocationsUnknownError
from kms.pki import authority as pki
from kms.pki.authority import CRL_FILE
from kms.pki.revocation import Revocations, read_crl, revoke_sae
from kms.pki.sae_register import issued_saes


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
    assert [sae.sae_id for sae in issued_saes(tmp_path / "pki")] == ["t"]


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
    (sae,) = issued_saes(tmp_path / "pki")
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
    assert [sae.sae_id for sae in issued_saes(tmp_path / "pki")] == ["s"]


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
        assert issued_saes(tmp_path / "pki") == []
    else:
        pki.renew_sae(tmp_path / "pki", "s", tmp_path / "new")
        (sae,) = issued_saes(tmp_path / "pki")
        assert sae.site == "metro1"


def damage(path: Path) -> None:
    path.write_bytes(b"damaged")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def make_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = (damage, cut_short, empty, make_a_directory, Path.unlink)


@pytest.mark.parametrize("spoil", DAMAGES)
def test_fault_14_a_kme_that_starts_with_a_list_that_it_cannot_read_lets_nobody_in(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    revoked, good = issue(tmp_path, "s"), issue(tmp_path, "t")
    revoke_sae(tmp_path / "pki", "s")
    spoil(tmp_path / "pki" / CRL_FILE)
    known = Revocations(tmp_path / "pki")
    with pytest.raises(PkiError, match=r"crl\.pem.*restore it"):
        known.check()
    for serial in (revoked, good):
        with pytest.raises(RevocationsUnknownError):
            known.is_revoked(serial)


@pytest.mark.parametrize("spoil", DAMAGES)
def test_fault_14_a_list_damaged_while_the_kme_runs_lets_nobody_in_until_it_is_repaired(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    revoked, good = issue(tmp_path, "s"), issue(tmp_path, "t")
    revoke_sae(tmp_path / "pki", "s")
    known = Revocations(tmp_path / "pki")
    assert not known.is_revoked(good)
    path = tmp_path / "pki" / CRL_FILE
    content = path.read_bytes()
    spoil(path)
    for _ in range(2):
        with pytest.raises(RevocationsUnknownError):
            known.is_revoked(good)
        assert known.is_revoked(revoked)
        assert known.problem is not None
    if path.is_dir():
        path.rmdir()
    path.write_bytes(content)
    assert known.is_revoked(revoked)
    assert not known.is_revoked(good)
    assert known.problem is None


def test_fault_14_one_failed_read_does_not_lose_the_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors run out at the very moment when the new list is noticed."""
    first, second = issue(tmp_path, "s"), issue(tmp_path, "t")
    revoke_sae(tmp_path / "pki", "s")
    known = Revocations(tmp_path / "pki")
    assert not known.is_revoked(second)
    revoke_sae(tmp_path / "pki", "t")
    grow_old(tmp_path / "pki" / CRL_FILE)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(RevocationsUnknownError):
            known.is_revoked(second)
        assert known.is_revoked(first)
    assert known.is_revoked(second)


def test_fault_14_a_list_that_keeps_its_times_is_noticed(tmp_path: Path) -> None:
    """As a copy that preserves them, or a clock that was set back, may have it."""
    first, second = issue(tmp_path, "s"), issue(tmp_path, "t")
    path = tmp_path / "pki" / CRL_FILE
    revoke_sae(tmp_path / "pki", "s")
    grow_old(path)
    known = Revocations(tmp_path / "pki")
    assert known.is_revoked(first)
    assert not known.is_revoked(second)
    revoke_sae(tmp_path / "pki", "t")
    grow_old(path)
    assert known.is_revoked(second)


def test_fault_14_a_new_authority_begins_without_revocations(tmp_path: Path) -> None:
    issue(tmp_path, "s")
    revoke_sae(tmp_path / "pki", "s")
    for name in ("ca.pem", "ca.key"):
        (tmp_path / "pki" / name).unlink()
    serial = issue(tmp_path, "t")
    known = Revocations(tmp_path / "pki")
    known.check()
    assert not known.is_revoked(serial)


def grow_old(path: Path) -> None:
    """As if it had been written an hour ago."""
    os.utime(path, ns=(1_700_000_000_000_000_000,) * 2)


def refuse(path: Path) -> bytes:
    raise OSError(24, "Too many open files")
