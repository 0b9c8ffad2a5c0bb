"""``qslice pki sign`` and ``--pkcs12``: what devices of others bring and want, with KMEs that let them in."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from scripts.cli.main import prepared
from scripts.errors import WrongRequest
from scripts.testbed.paths import Layout
from tests.support.running_kms import KmsWorld, running_kms

RSA_KEY = rsa.generate_private_key(65537, 2048)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[KmsWorld]:
    with running_kms(tmp_path / "state", default_key_source="dh") as world:
        yield world


def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    arguments = prepared(["pki", *words, "--json"])
    assert arguments.run(arguments, Layout(tmp_path / "state", tmp_path / "run")) == 0
    return json.loads(capsys.readouterr().out)


def csr_file(path: Path, key: Any, *names: str, der: bool = False) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    # What a request may not get by asking: another SAE's name, an authority's powers.
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:qslice:sae:sae-core1")]), critical=False
        )
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    path.write_bytes(request.public_bytes(serialization.Encoding.DER if der else serialization.Encoding.PEM))
    return str(path)


@pytest.mark.parametrize(
    ("key", "der"), [(ec.generate_private_key(ec.SECP384R1()), False), (RSA_KEY, True)], ids=["ecdsa", "rsa"]
)
def test_a_device_with_a_signed_request_fetches_keys_until_it_is_revoked(
    tmp_path: Path, world: KmsWorld, capsys: pytest.CaptureFixture[str], key: Any, der: bool
) -> None:
    csr = csr_file(tmp_path / "csr", key, "encryptor-1", der=der)
    said = run(tmp_path, capsys, "sign", "--csr", csr, "--out", str(tmp_path / "out"))
    assert said.keys() == {"sae_id", "cert", "ca"}
    assert said["sae_id"] == "encryptor-1"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ca.pem", "cert.pem"]
    certificate = x509.load_pem_x509_certificate(Path(said["cert"]).read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:qslice:sae:encryptor-1"]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca

    own = tmp_path / "device.key"
    own.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    tls = ssl.create_default_context(cafile=said["ca"])
    tls.load_cert_chain(said["cert"], own)
    assert world.ask_with(tls, "cell1", "POST", "/api/v1/keys/sae-core1/enc_keys", {}).status == 200
    assert run(tmp_path, capsys, "revoke", "encryptor-1")["revoked_certificates"] == 1
    refused = world.ask_with(tls, "cell1", "POST", "/api/v1/keys/sae-core1/enc_keys", {})
    assert (refused.status, refused.body["message"]) == (401, "the client certificate was revoked")


def test_a_registered_name_is_not_taken_from_a_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, capsys, "issue", "alice", "--out", str(tmp_path / "alice"), "--site", "cell1")
    csr = csr_file(tmp_path / "csr", RSA_KEY, "alice")
    arguments = prepared(["pki", "sign", "--csr", csr, "--out", str(tmp_path / "out")])
    layout = Layout(tmp_path / "state", tmp_path / "run")
    with pytest.raises(WrongRequest, match=r"--csr: the request is for 'alice', who is registered: .*--sae alice"):
        arguments.run(arguments, layout)
    assert not (tmp_path / "out" / "cert.pem").exists()
    run(tmp_path, capsys, "sign", "--csr", csr, "--out", str(tmp_path / "out"), "--sae", "alice")
    (listed,) = run(tmp_path, capsys, "list")["saes"]
    assert (listed["site"], len(listed["certificates"])) == ("cell1", 2)


def wrong_requests(tmp_path: Path) -> dict[str, str]:
    good = Path(csr_file(tmp_path / "good", RSA_KEY, "bob"))
    tampered = bytearray(Path(csr_file(tmp_path / "good.der", RSA_KEY, "bob", der=True)).read_bytes())
    at = tampered.index(b"bob")
    tampered[at : at + 3] = b"eve"
    (tmp_path / "tampered").write_bytes(tampered)
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").touch()
    (tmp_path / "half").write_bytes(good.read_bytes()[:300])
    (tmp_path / "long").write_bytes(good.read_bytes() + b"\n" * (65 << 10))
    return {
        str(tmp_path / "tampered"): "its signature is not that of the key in it",
        str(tmp_path / "text"): "no certificate signing request",
        str(tmp_path / "empty"): "no certificate signing request",
        str(tmp_path / "half"): "no certificate signing request",
        str(tmp_path / "long"): "no longer than 64 KiB",
        str(tmp_path / "nowhere"): "No such file",
        str(tmp_path): "Is a directory",
        csr_file(tmp_path / "weak", rsa.generate_private_key(65537, 1024), "bob"): "an RSA key of 1024 bits",
        csr_file(tmp_path / "ed", ed25519.Ed25519PrivateKey.generate(), "bob"): "neither RSA nor ECDSA",
        csr_file(tmp_path / "curve", ec.generate_private_key(ec.SECP256K1()), "bob"): "neither RSA nor ECDSA",
        csr_file(tmp_path / "two", RSA_KEY, "bob", "eve"): "not one common name",
        csr_file(tmp_path / "none", RSA_KEY): "not one common name",
        csr_file(tmp_path / "path", RSA_KEY, "../../etc/x"): "SAE id '../../etc/x'",
    }


def test_what_is_no_good_request_is_refused_with_the_reason(tmp_path: Path) -> None:
    for number, (file, reason) in enumerate(wrong_requests(tmp_path).items()):
        out = tmp_path / f"out{number}"
        arguments = prepared(["pki", "sign", "--csr", file, "--out", str(out)])
        with pytest.raises(WrongRequest, match=f"(?s)--csr: .*{reason}"):
            arguments.run(arguments, Layout(tmp_path / "state", tmp_path / "run"))
        assert not (out / "cert.pem").exists()
    assert not list((tmp_path / "state" / "pki" / "saes").glob("*"))


def test_a_pkcs12_file_opens_with_its_password_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "password"
    secret.write_text("schöner Tag\n", encoding="utf-8")
    secret.chmod(0o600)
    said = run(
        tmp_path, capsys, "issue", "alice", "--out", str(tmp_path / "one"), "--pkcs12", "--password-file", str(secret)
    )
    store = Path(said["pkcs12"])
    assert store.stat().st_mode & 0o777 == 0o600
    key, certificate, more = pkcs12.load_key_and_certificates(store.read_bytes(), "schöner Tag".encode())
    assert key is not None
    assert certificate is not None
    assert certificate == x509.load_pem_x509_certificate(Path(said["cert"]).read_bytes())
    assert key.public_key() == certificate.public_key()
    assert more == [x509.load_pem_x509_certificate(Path(said["ca"]).read_bytes())]
    with pytest.raises(ValueError, match="password"):
        pkcs12.load_key_and_certificates(store.read_bytes(), b"another")
    listed = subprocess.run(
        ["openssl", "pkcs12", "-in", str(store), "-passin", "stdin", "-info", "-noout"],
        input="schöner Tag\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "AES-256-CBC" in listed.stderr
    again = run(
        tmp_path, capsys, "renew", "alice", "--out", str(tmp_path / "two"), "--pkcs12", "--password-file", str(secret)
    )
    assert Path(again["pkcs12"]).read_bytes() != store.read_bytes()


@pytest.mark.parametrize(
    ("content", "mode", "words", "said"),
    [
        (b"secret\n", 0o644, ["--pkcs12"], "others may read"),
        (b"\n", 0o600, ["--pkcs12"], "the password is empty"),
        (b"x" * 1025, 0o600, ["--pkcs12"], "longer than 1024"),
        (None, 0o600, ["--pkcs12"], "No such file"),
        (b"secret\n", 0o600, [], "no password without --pkcs12"),
    ],
)
def test_a_password_file_that_will_not_do(
    tmp_path: Path, content: bytes | None, mode: int, words: list[str], said: str
) -> None:
    secret = tmp_path / "password"
    if content is not None:
        secret.write_bytes(content)
        secret.chmod(mode)
    arguments = prepared(
        ["pki", "issue", "alice", "--out", str(tmp_path / "out"), "--password-file", str(secret), *words]
    )
    with pytest.raises(WrongRequest, match=said) as refused:
        arguments.run(arguments, Layout(tmp_path / "state", tmp_path / "run"))
    assert "secret" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_without_a_terminal_no_password_is_asked_for(tmp_path: Path) -> None:
    arguments = prepared(["pki", "issue", "alice", "--out", str(tmp_path / "out"), "--pkcs12"])
    with pytest.raises(WrongRequest, match="--password-file: there is no terminal"):
        arguments.run(arguments, Layout(tmp_path / "state", tmp_path / "run"))
