"""Keys of QKD from a vendor's KME, as an agent fetches them: over TLS, through the door of its host, from a KME that
is right, dry, slow, of another name, or wrong.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kms.clients.etsi014_client import Kme014Client
from kms.tunnel.agent.kme_client import KmeKeys
from kms.tunnel.agent.vendor_keys import VendorKeys
from kms.tunnel.errors import KeyRefused
from tests.support.wait import wait_until
from tests.support.wrong_kme import WrongKme, credentials, serving


class OwnKeys:
    """What the site's own KME would be asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def enc_keys(self, slave_sae: str, key_source: str, number: int) -> list[tuple[str, bytes]]:
        self.asked.append((slave_sae, key_source))
        return [(f"own-{n}", bytes(32)) for n in range(number)]

    async def dec_keys(self, master_sae: str, key_source: str, key_ids: Sequence[str]) -> list[bytes]:
        self.asked.append((master_sae, key_source))
        return [bytes(32) for _ in key_ids]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vendor")


@contextmanager
def door(place: Path, url: str) -> Iterator[Path]:
    """The process that leads hosts to the KME."""
    parts, path = urlsplit(url), place / f"door-{urlsplit(url).port}.sock"
    config = place / f"{path.stem}.json"
    config.write_text(json.dumps([{"socket": str(path), "host": parts.hostname, "port": parts.port}]))
    command = [sys.executable, "-m", "scripts.testbed.life.kme_doors", "--config", str(config)]
    with subprocess.Popen(command) as process:
        try:
            wait_until(path.is_socket, 10)
            yield path
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0


def client(place: Path, url: str, sae: str, through: Path | None = None, timeout_s: float = 5.0) -> Kme014Client:
    own = credentials(place, sae)
    return Kme014Client(url, own / "cert.pem", own / "key.pem", own / "ca.pem", timeout_s, through)


def test_both_ends_get_the_vendors_key_and_other_sources_stay_with_the_own_kme(place: Path) -> None:
    async def fetch(url: str, through: Path) -> None:
        own = OwnKeys()
        async with client(place, url, "VENDOR-A", through) as a, client(place, url, "VENDOR-B", through) as b:
            initiator = VendorKeys(own, KmeKeys(a), {"sae-hub": "VENDOR-B"})
            responder = VendorKeys(own, KmeKeys(b), {"sae-cell1": "VENDOR-A"})
            offered = await initiator.enc_keys("sae-hub", "qkd", 3)
            assert len({key for _, key in offered}) == 3
            fetched = await responder.dec_keys("sae-cell1", "qkd", [key_id for key_id, _ in offered])
            assert fetched == [key for _, key in offered]
            assert own.asked == []
            await initiator.enc_keys("sae-hub", "qra", 1)
            await responder.dec_keys("sae-core1", "dh", ["x"])
            assert own.asked == [("sae-hub", "qra"), ("sae-core1", "dh")]
            for source, peer, reason in (
                ("qkd", "sae-core1", "nobody says that the vendor's KME serves QKD with sae-core1"),
                ("qkd+qra", "sae-hub", "not combined"),
            ):
                with pytest.raises(KeyRefused, match=reason):
                    await initiator.enc_keys(peer, source, 1)
                with pytest.raises(KeyRefused, match=reason):
                    await responder.dec_keys(peer, source, ["x"])
            assert len(own.asked) == 2

    with serving(WrongKme(), place) as url, door(place, url) as through:
        assert through.stat().st_mode & 0o777 == 0o600
        asyncio.run(fetch(url, through))


def refusal(place: Path, kme: WrongKme, name: str = "127.0.0.1", timeout_s: float = 5.0) -> KeyRefused:
    async def ask(url: str, through: Path) -> KeyRefused:
        async with client(place, url, "VENDOR-A", through, timeout_s) as vendor:
            keys = VendorKeys(OwnKeys(), KmeKeys(vendor), {"sae-hub": "VENDOR-B"})
            with pytest.raises(KeyRefused) as caught:
                await keys.enc_keys("sae-hub", "qkd", 1)
            return caught.value

    with serving(kme, place, name) as url, door(place, url) as through:
        return asyncio.run(ask(url, through))


def test_a_dry_kme_is_asked_again_later(place: Path) -> None:
    refused = refusal(place, WrongKme(stock=0))
    assert "no key is left" in str(refused)
    assert not refused.is_final


def test_a_slow_kme_is_given_up_in_time(place: Path) -> None:
    refused = refusal(place, WrongKme(slow_s=30), timeout_s=0.3)
    assert "TimeoutError" in str(refused)
    assert not refused.is_final


def test_a_kme_of_another_name_is_sent_nothing(place: Path) -> None:
    kme = WrongKme()
    refused = refusal(place, kme, name="kme.vendor.example")
    assert "not trusted" in str(refused)
    assert kme.held == {}


@pytest.mark.parametrize("fault", ["wrong base64", "wrong key size", "key_ID no UUID"])
def test_a_wrong_container_gives_no_key(place: Path, fault: str) -> None:
    refused = refusal(place, WrongKme(fault))
    assert "KME's" in str(refused)


def test_a_door_to_nobody_closes(place: Path) -> None:
    async def ask(through: Path) -> None:
        async with client(place, "https://127.0.0.1:9", "VENDOR-A", through) as vendor:
            keys = VendorKeys(OwnKeys(), KmeKeys(vendor), {"sae-hub": "VENDOR-B"})
            with pytest.raises(KeyRefused):
                await keys.enc_keys("sae-hub", "qkd", 1)

    with door(place, "https://127.0.0.1:9") as through:
        asyncio.run(ask(through))
