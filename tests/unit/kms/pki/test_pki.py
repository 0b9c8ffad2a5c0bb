"""Certificates: who they are for, that they last, and that nobody else can read the keys."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from kms.errors import PkiError, UnauthorisedError
from kms.interfaces.etsi014 import Caller, identify
from kms.pki import authority
from kms.pki.sae_register import Certificate, IssuedSae, SaeRegister


def certificate(directory: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())


def alternatives(cert: x509.Certificate) -> x509.SubjectAlternativeName:
    return cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_the_authority_is_made_once(tmp_path: Path) -> None:
    path = authority.ensure_ca(tmp_path / "pki")
    before = path.read_bytes()
    assert authority.ensure_ca(tmp_path / "pki").read_bytes() == before
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "pki" / "ca.key").stat().st_mode & 0o777 == 0o600


def test_an_sae_gets_a_certificate_a_key_and_the_authority(tmp_path: Path) -> None:
    authority.issue_sae(tmp_path / "pki", "sae-a", tmp_path / "out", site="cell1")
    cert = certificate(tmp_path / "out")
    assert cert.subject.rfc4514_string() == "CN=sae-a"
    assert alternatives(cert).get_values_for_type(x509.UniformResourceIdentifier) == [
        "urn:qslice:sae:sae-a",
        "urn:qslice:site:cell1",
    ]
    usage = cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert (tmp_path / "out" / "key.pem").stat().st_mode & 0o777 == 0o600
    cert.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "out" / "ca.pem").read_bytes()))
    issued = Certificate(cert.serial_number, cert.not_valid_after_utc.timestamp())
    assert SaeRegister(tmp_path / "pki").find("sae-a") == IssuedSae("sae-a", "cell1", (issued,))


def test_the_register_sees_what_is_issued_and_withdrawn_later(tmp_path: Path) -> None:
    register = SaeRegister(tmp_path / "pki")
    assert register.find("late") is None
    authority.issue_sae(tmp_path / "pki", "late", tmp_path / "out")
    found = register.find("late")
    assert found is not None
    assert found.site is None
    (tmp_path / "pki" / "saes" / "late.json").unlink()
    assert register.find("late") is None


@pytest.mark.parametrize("sae_id", ["", ".", "..", "../x", "a/b", "-x", "x" * 65, "a b", "a\n", "é", "a\0"])
def test_an_id_that_could_be_a_path_is_refused(tmp_path: Path, sae_id: str) -> None:
    with pytest.raises(PkiError):
        authority.issue_sae(tmp_path / "pki", sae_id, tmp_path / "out")
    assert SaeRegister(tmp_path / "pki").find(sae_id) is None
    assert not (tmp_path / "out").exists()


def test_a_servers_certificate_names_its_addresses_and_is_kept(tmp_path: Path) -> None:
    authority.issue_kme(tmp_path / "pki", "kme-x", ["10.254.1.1"], tmp_path / "kme")
    cert = certificate(tmp_path / "kme")
    assert alternatives(cert).get_values_for_type(x509.DNSName) == ["kme-x"]
    assert alternatives(cert).get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.254.1.1")]
    authority.issue_kme(tmp_path / "pki", "kme-x", ["10.254.1.1"], tmp_path / "kme")
    assert certificate(tmp_path / "kme") == cert


@pytest.mark.parametrize("change", ["address", "name", "authority", "key", "cert", "expiry"])
def test_a_certificate_that_no_longer_fits_is_replaced(
    tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if change == "expiry":
        monkeypatch.setattr(authority, "_LEAF_LIFETIME", timedelta(days=29))
    authority.issue_server(tmp_path / "pki", "ctl", ["127.0.0.1"], tmp_path / "out")
    monkeypatch.undo()
    before = certificate(tmp_path / "out")
    name, hosts = "ctl", ["127.0.0.1"]
    match change:
        case "address":
            hosts = ["127.0.0.2"]
        case "name":
            name = "other"
        case "authority":
            for file in ("ca.pem", "ca.key"):
                (tmp_path / "pki" / file).unlink()
        case "key":
            (tmp_path / "out" / "key.pem").write_text("rubbish")
        case "cert":
            (tmp_path / "out" / "cert.pem").unlink()
    authority.issue_server(tmp_path / "pki", name, hosts, tmp_path / "out")
    after = certificate(tmp_path / "out")
    assert after != before
    assert after.not_valid_after_utc - datetime.now(UTC) > timedelta(days=300)
    assert (tmp_path / "out" / "ca.pem").read_bytes() == (tmp_path / "pki" / "ca.pem").read_bytes()


def test_half_an_authority_is_not_overwritten(tmp_path: Path) -> None:
    authority.ensure_ca(tmp_path)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(PkiError, match=r"ca\.key is missing"):
        authority.ensure_ca(tmp_path)


def test_a_key_that_is_not_the_authoritys_is_refused(tmp_path: Path) -> None:
    authority.ensure_ca(tmp_path / "a")
    authority.ensure_ca(tmp_path / "b")
    (tmp_path / "a" / "ca.key").write_bytes((tmp_path / "b" / "ca.key").read_bytes())
    with pytest.raises(PkiError, match="not the key"):
        authority.ensure_ca(tmp_path / "a")


def peer(common_name: str, *uris: str) -> dict[str, object]:
    return {
        "subject": ((("commonName", common_name),),),
        "subjectAltName": tuple(("URI", uri) for uri in uris),
        "serialNumber": "AB",
        "notAfter": "Jan  2 00:00:00 2030 GMT",
    }


def test_who_a_certificate_names() -> None:
    expires_at = datetime(2030, 1, 2, tzinfo=UTC).timestamp()
    assert identify(peer("s", "urn:qslice:sae:s")) == Caller("s", None, 0xAB, expires_at)
    assert identify(peer("s", "urn:qslice:sae:s", "urn:qslice:site:x")) == Caller("s", "x", 0xAB, expires_at)


@pytest.mark.parametrize(
    "shown",
    [None, {}, peer("s"), peer("s", "urn:qslice:sae:other"), peer("../s", "urn:qslice:sae:../s"),
     peer("s", "urn:qslice:sae:s", "urn:qslice:site:x", "urn:qslice:site:y")],
)  # fmt: skip
def test_other_certificates_of_the_authority_are_no_saes(shown: dict[str, object] | None) -> None:
    with pytest.raises(UnauthorisedError):
        identify(shown)


class Clock:
    """The machine's clock, as the authority sees it: ``ahead_by`` of the true one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_by = timedelta()
        clock = self

        class Moved(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Moved:
                moved = datetime.now(tz) + clock.ahead_by
                return cls.fromtimestamp(moved.timestamp(), tz)

        monkeypatch.setattr(authority, "datetime", Moved)


def is_valid(path: Path) -> bool:
    cert = x509.load_pem_x509_certificate(path.read_bytes())
    return cert.not_valid_before_utc <= datetime.now(UTC) <= cert.not_valid_after_utc


AHEAD = timedelta(days=400)


def test_fault_30_what_is_made_while_the_clock_is_ahead_is_good_once_it_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    clock.ahead_by = AHEAD
    authority.issue_kme(tmp_path / "pki", "kme", ["127.0.0.1"], tmp_path / "kme")
    authority.issue_sae(tmp_path / "pki", "sae", tmp_path / "sae")
    clock.ahead_by = timedelta()
    assert is_valid(tmp_path / "pki" / "ca.pem")
    assert is_valid(tmp_path / "kme" / "cert.pem")
    assert is_valid(tmp_path / "sae" / "cert.pem")


def test_fault_30_a_certificate_that_is_not_valid_yet_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As earlier versions made them: they begin with the clock of that time."""
    authority.ensure_ca(tmp_path / "pki")
    clock = Clock(monkeypatch)
    clock.ahead_by = AHEAD
    with monkeypatch.context() as patch:
        patch.setattr(authority, "_BEGINNING", datetime(9000, 1, 1, tzinfo=UTC), raising=False)
        authority.issue_kme(tmp_path / "pki", "kme", ["127.0.0.1"], tmp_path / "kme")
    assert not is_valid(tmp_path / "kme" / "cert.pem")
    clock.ahead_by = timedelta()
    authority.issue_kme(tmp_path / "pki", "kme", ["127.0.0.1"], tmp_path / "kme")
    assert is_valid(tmp_path / "kme" / "cert.pem")


def test_fault_30_an_authority_that_is_not_valid_yet_names_the_remedy_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not replaced: people hold its certificates, and it may be today's clock that is wrong."""
    clock = Clock(monkeypatch)
    clock.ahead_by = AHEAD
    with monkeypatch.context() as patch:
        patch.setattr(authority, "_BEGINNING", datetime(9000, 1, 1, tzinfo=UTC), raising=False)
        before = authority.ensure_ca(tmp_path / "pki").read_bytes()
    clock.ahead_by = timedelta()
    with pytest.raises(PkiError, match=r"set the clock.*remove"):
        authority.issue_kme(tmp_path / "pki", "kme", ["127.0.0.1"], tmp_path / "kme")
    assert (tmp_path / "pki" / "ca.pem").read_bytes() == before
