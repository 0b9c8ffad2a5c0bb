"""The operator's choice of a KEM: refused by where it was said, with what there is, before anything is started."""

from __future__ import annotations

import pytest

from kms.sources.kems import kems_here
from scripts.configuration.sources import read_configuration
from scripts.errors import WrongRequest
from scripts.testbed.life.key_policy import KEM, require_kem


@pytest.mark.parametrize("name", ["auto", *kems_here({}), "HQC-256+ML-KEM-768"])
def test_what_is_here_may_be_used(name: str) -> None:
    require_kem(read_configuration(None, {KEM: name}, {}))


def test_what_is_not_here_is_refused_with_what_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kms.sources.kems.liboqs_is_installed", lambda _environment: False)
    configuration = read_configuration(None, {KEM: "ML-KEM-768+NTRU-HRSS-701"}, {})
    with pytest.raises(
        WrongRequest, match=r"^--qra: kms.qra_kem: NTRU-HRSS-701 needs liboqs.* here there are sntrup653, .*HQC-128"
    ):
        require_kem(configuration)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (KEM, "kyber", r"--qra: kms.qra_kem: 'kyber' is none of auto, .*ML-KEM-768"),
        ("kms.dh_group", "modp1", r"--dh: .*modp1.* is not one of x25519, .*ffdhe8192"),
        ("kms.kme_signature", "rsa", r"--kme-signature: .*rsa.* is not one of ecdsa-p256, ecdsa-p256\+ml-dsa-65"),
    ],
)
def test_what_is_nothing_is_refused_with_the_list(name: str, value: str, said: str) -> None:
    with pytest.raises(WrongRequest, match=said):
        read_configuration(None, {name: value}, {})
