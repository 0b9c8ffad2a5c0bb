"""ETSI GS QKD 014 v1.1.1 at real KMEs over mutual TLS: a plain client, ours, and one that nobody here wrote."""

from __future__ import annotations

import asyncio
import base64
import http.client
import socket
import ssl
import uuid
from pathlib import Path
from typing import Any

import pytest
from etsi_qkd_014_client import QKD014Client

from kms.clients.etsi014_client import Kme014Client
from kms.errors import KmeRefusedError, KmeUnavailableError
from kms.pki import authority
from kms.pki.authority import CRL_FILE
from kms.pki.revocation import revoke_sae
from tests.support.running_kms import KmsWorld, only_key
from tests.support.wait import PATIENCE, wait_until


class TestExchange:
    @pytest.mark.parametrize("source", ["qkd", "qra", "dh", "qkd+qra", "qkd+qra+dh"])
    def test_a_key_and_its_twin_once_each(self, world: KmsWorld, source: str) -> None:
        mandatory = [{"key_source": source}]
        answer = world.enc("cell1", "sae-cell1", "sae-core1", extension_mandatory=mandatory)
        key_id, key = only_key(answer)
        assert uuid.UUID(key_id).version == 4
        assert len(key) == 32
        assert answer.body["keys"][0]["key_extension"]["key_source"] == source
        assert only_key(world.dec("core1", "sae-core1", "sae-cell1", key_id)) == (key_id, key)
        again = world.dec("core1", "sae-core1", "sae-cell1", key_id)
        assert again.status == 400
        assert again.body["message"] == "one or more keys specified are not found on KME"

    def test_get_and_post_and_an_empty_post(self, world: KmsWorld) -> None:
        for answer in (
            world.ask("metro1", "sae-metro1", "GET", "/sae-core1/enc_keys"),
            world.ask("metro1", "sae-metro1", "POST", "/sae-core1/enc_keys"),
            world.ask("metro1", "sae-metro1", "POST", "/sae-core1/enc_keys", {}),
            world.ask("metro1", "sae-metro1", "GET", "/sae-core1/enc_keys?number=1&size=256"),
        ):
            key_id, key = only_key(answer)
            assert answer.body["keys"][0]["key_extension"]["key_source"] == "qkd"
            twin = world.ask("core1", "sae-core1", "GET", f"/sae-metro1/dec_keys?key_ID={key_id}")
            assert only_key(twin) == (key_id, key)

    def test_many_keys_of_any_legal_size(self, world: KmsWorld) -> None:
        dh = [{"key_source": "dh"}]
        for size in (64, 128, 512, 1024):
            answer = world.enc("cell1", "sae-cell1", "sae-metro1", number=3, size=size, extension_mandatory=dh)
            entries = answer.body["keys"]
            assert [len(base64.b64decode(e["key"])) * 8 for e in entries] == [size] * 3
            twins = world.dec("metro1", "sae-metro1", "sae-cell1", *(e["key_ID"] for e in entries))
            assert [e["key"] for e in twins.body["keys"]] == [e["key"] for e in entries]
        assert (
            len(world.enc("cell1", "sae-cell1", "sae-metro1", number=128, extension_mandatory=dh).body["keys"]) == 128
        )

    def test_multicast(self, world: KmsWorld) -> None:
        world.credentials("roaming-1")
        answer = world.enc(
            "cell1", "sae-cell1", "sae-metro1", additional_slave_SAE_IDs=["sae-core1", "roaming-1"],
            extension_mandatory=[{"key_source": "qra"}],
        )  # fmt: skip
        key_id, key = only_key(answer)
        for site, sae in (("metro1", "sae-metro1"), ("core1", "sae-core1"), ("core1", "roaming-1")):
            assert only_key(world.dec(site, sae, "sae-cell1", key_id)) == (key_id, key)

    @pytest.mark.parametrize("source", ["qkd", "qra", "dh"])
    def test_saes_without_a_site_as_pki_issue_makes_them(self, world: KmsWorld, source: str) -> None:
        master, slave = f"a-{source}", f"b-{source}"
        world.credentials(master)
        world.credentials(slave)
        body = {"extension_mandatory": [{"key_source": source}]}
        key_id, key = only_key(world.enc("cell1", master, slave, **body))
        assert only_key(world.dec("core1", slave, master, key_id)) == (key_id, key)
        # Now that both have a home, a pool between the homes serves them.
        key_id, key = only_key(world.enc("cell1", master, slave, **body))
        assert only_key(world.dec("core1", slave, master, key_id)) == (key_id, key)
        assert any(p["source"] == source for p in world.admin("GET", "/v1/keys").body["pools"])

    def test_status(self, world: KmsWorld) -> None:
        wait_until(
            lambda: world.ask("cell1", "sae-cell1", "GET", "/sae-metro1/status").body["stored_key_count"] > 0, 10
        )
        answer = world.ask("cell1", "sae-cell1", "GET", "/sae-metro1/status")
        assert answer.status == 200
        status = dict(answer.body)
        assert 0 < status.pop("stored_key_count") <= status["max_key_count"]
        assert isinstance(status.pop("status_extension"), dict)
        assert status == {
            "source_KME_ID": "kme-cell1", "target_KME_ID": "kme-metro1",
            "master_SAE_ID": "sae-cell1", "slave_SAE_ID": "sae-metro1",
            "key_size": 256, "max_key_count": 128, "max_key_per_request": 128,
            "max_key_size": 1024, "min_key_size": 64, "max_SAE_ID_count": 8,
        }  # fmt: skip


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({"size": 12}, "size shall be a multiple of 8"),
            ({"extension_mandatory": [{"max_age": 1}]}, "not all extension_mandatory parameters are supported"),
            (
                {"extension_mandatory": [{"key_source": "x"}]},
                "not all extension_mandatory request options could be met",
            ),
            ({"number": 129}, "number shall be no more than max_key_per_request (128)"),
        ],
    )  # fmt: skip
    def test_bad_requests(self, world: KmsWorld, body: dict[str, Any], message: str) -> None:
        answer = world.enc("cell1", "sae-cell1", "sae-core1", **body)
        assert (answer.status, answer.body["message"]) == (400, message)
        assert answer.headers["Content-Type"].startswith("application/json")

    def test_optional_extensions_may_be_anything(self, world: KmsWorld) -> None:
        optional = [{"vendor": {"deep": [1, 2]}}]
        assert world.enc("cell1", "sae-cell1", "sae-metro1", extension_optional=optional).status == 200

    @pytest.mark.parametrize(
        ("raw", "content_type"),
        [(b"{", "application/json"), (b"\xff", "application/json"), (b"[]", "application/json"),
         (b"{}", "text/plain"), (b"{}", None), (b"{}", "application/json; charset=utf-16"),
         (b'{"number":' + b" " * 70_000 + b"1}", "application/json")],
    )  # fmt: skip
    def test_bad_bodies(self, world: KmsWorld, raw: bytes, content_type: str | None) -> None:
        for method in ("enc_keys", "dec_keys"):
            answer = world.ask("cell1", "sae-cell1", "POST", f"/sae-core1/{method}", raw=raw, content_type=content_type)
            assert answer.status == 400
            assert answer.body["message"]

    @pytest.mark.parametrize("charset", ["utf-8", "UTF8", '"Utf-8"', "utf_8", "us-ascii", ""])
    def test_fault_33_json_has_one_charset_however_it_is_called(self, world: KmsWorld, charset: str) -> None:
        content_type = f"application/json; Charset={charset}"
        path = "/sae-core1/enc_keys"
        assert world.ask("cell1", "sae-cell1", "POST", path, raw=b"{}", content_type=content_type).status == 200

    def test_ten_thousand_ids_in_one_request(self, world: KmsWorld) -> None:
        ids = [str(uuid.uuid4()) for _ in range(10_000)]
        assert world.dec("cell1", "sae-cell1", "sae-core1", *ids).status == 400
        assert world.dec("cell1", "sae-cell1", "sae-core1", *ids[:200]).status == 400

    def test_one_unknown_id_fails_the_request_and_loses_nothing(self, world: KmsWorld) -> None:
        key_id, key = only_key(world.enc("cell1", "sae-cell1", "sae-core1"))
        stranger = str(uuid.uuid4())
        answer = world.dec("core1", "sae-core1", "sae-cell1", key_id, stranger)
        assert answer.status == 400
        assert answer.body["details"] == [{"key_ID": stranger}]
        assert only_key(world.dec("core1", "sae-core1", "sae-cell1", key_id)) == (key_id, key)

    def test_a_key_for_someone_else_is_unauthorised(self, world: KmsWorld) -> None:
        key_id, key = only_key(world.enc("cell1", "sae-cell1", "sae-core1"))
        answer = world.dec("metro1", "sae-metro1", "sae-cell1", key_id)
        assert answer.status == 401
        assert answer.body["message"]
        assert only_key(world.dec("core1", "sae-core1", "sae-cell1", key_id)) == (key_id, key)

    def test_an_unknown_slave(self, world: KmsWorld) -> None:
        for verb, path in (("GET", "/nobody/status"), ("POST", "/nobody/enc_keys"), ("GET", "/..%2f..%2fx/status")):
            answer = world.ask("cell1", "sae-cell1", verb, path)
            assert answer.status == 400
            assert "unknown SAE" in answer.body["message"]

    @pytest.mark.parametrize(
        ("verb", "path", "status"),
        [("GET", "/sae-core1/no_such", 400), ("GET", "", 400), ("GET", "/sae-core1/status/x", 400),
         ("POST", "/sae-core1/status", 405), ("DELETE", "/sae-core1/enc_keys", 405),
         ("PUT", "/sae-core1/dec_keys", 405),
         ("GET", "/sae-core1/status?x=1", 400), ("GET", "/sae-core1/enc_keys?key_source=dh", 400),
         ("POST", "/sae-core1/enc_keys?number=1", 400), ("GET", "/sae-core1/dec_keys", 400)],
    )  # fmt: skip
    def test_there_is_no_404(self, world: KmsWorld, verb: str, path: str, status: int) -> None:
        answer = world.ask("cell1", "sae-cell1", verb, path)
        assert answer.status == status
        assert answer.body["message"]


class TestWhoMayCome:
    def refused(self, world: KmsWorld, tls: ssl.SSLContext) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            world.ask_with(tls, "cell1", "GET", "/api/v1/keys/sae-core1/status")

    def trusting(self, world: KmsWorld) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(Path(world.config.pki_dir) / "ca.pem"))

    def test_no_certificate(self, world: KmsWorld) -> None:
        self.refused(world, self.trusting(world))

    def test_a_certificate_of_another_authority(self, world: KmsWorld, tmp_path: Path) -> None:
        authority.issue_sae(tmp_path / "other", "sae-cell1", tmp_path / "out", "cell1")
        tls = self.trusting(world)
        tls.load_cert_chain(tmp_path / "out" / "cert.pem", tmp_path / "out" / "key.pem")
        self.refused(world, tls)

    def test_a_kmes_own_certificate(self, world: KmsWorld) -> None:
        own = Path(world.config.pki_dir) / "kme" / "cell1"
        tls = self.trusting(world)
        tls.load_cert_chain(own / "cert.pem", own / "key.pem")
        self.refused(world, tls)

    def test_a_controllers_certificate_with_an_saes_name(self, world: KmsWorld, tmp_path: Path) -> None:
        authority.issue_server(world.config.pki_dir, "sae-cell1", ["localhost"], tmp_path)
        tls = self.trusting(world)
        tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        answer = world.ask_with(tls, "cell1", "GET", "/api/v1/keys/sae-core1/status")
        assert answer.status == 401
        assert "not an SAE" in answer.body["message"]

    def test_an_sae_of_another_site(self, world: KmsWorld) -> None:
        answer = world.ask("metro1", "sae-cell1", "GET", "/sae-core1/status")
        assert answer.status == 401
        assert answer.body["message"]

    def test_an_sae_that_was_withdrawn(self, world: KmsWorld) -> None:
        world.credentials("gone")
        assert world.ask("cell1", "gone", "GET", "/sae-core1/status").status == 200
        (Path(world.config.pki_dir) / "saes" / "gone.json").unlink()
        assert world.ask("cell1", "gone", "GET", "/sae-core1/status").status == 401

    def test_a_revoked_certificate_is_refused_on_an_open_connection_too(self, world: KmsWorld) -> None:
        out = world.credentials("traitor")
        tls = self.trusting(world)
        tls.load_cert_chain(out / "cert.pem", out / "key.pem")
        host, _, port = world.urls["cell1"].removeprefix("https://").rpartition(":")
        connection = http.client.HTTPSConnection(host, int(port), context=tls, timeout=10 * PATIENCE)
        try:
            statuses = []
            for is_revoked in (False, True):
                if is_revoked:
                    revoke_sae(world.config.pki_dir, "traitor")
                connection.request("GET", "/api/v1/keys/sae-core1/status")
                response = connection.getresponse()
                statuses.append((response.status, "revoked" in response.read().decode()))
        finally:
            connection.close()
        assert statuses == [(200, False), (401, True)]

    def test_fault_14_a_damaged_list_of_revocations_lets_nobody_in(self, world: KmsWorld) -> None:
        world.credentials("struck-off")
        world.credentials("still-there")
        revoke_sae(world.config.pki_dir, "struck-off")
        path = Path(world.config.pki_dir) / CRL_FILE
        content = path.read_bytes()

        def statuses() -> list[int]:
            asking = ("struck-off", "still-there")
            return [world.ask("cell1", sae, "GET", "/sae-core1/status").status for sae in asking]

        assert statuses() == [401, 200]
        try:
            path.write_bytes(content[:-100])
            assert statuses() == [401, 503]
        finally:
            path.write_bytes(content)
        assert statuses() == [401, 200]

    def test_tls_1_2_is_enough(self, world: KmsWorld) -> None:
        out = world.credentials("sae-cell1")
        tls = self.trusting(world)
        tls.load_cert_chain(out / "cert.pem", out / "key.pem")
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        tls.maximum_version = ssl.TLSVersion.TLSv1_2
        assert world.ask_with(tls, "cell1", "GET", "/api/v1/keys/sae-core1/status").status == 200

    def test_plain_http_and_noise_do_no_harm(self, world: KmsWorld) -> None:
        host, _, port = world.urls["cell1"].removeprefix("https://").rpartition(":")
        for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(100), b""):
            with socket.create_connection((host, int(port)), timeout=5 * PATIENCE) as connection:
                connection.sendall(noise)
        assert world.ask("cell1", "sae-cell1", "GET", "/sae-core1/status").status == 200


class TestClients:
    def test_etsi_qkd_014_client_at_two_kmes(self, world: KmsWorld) -> None:
        def client(site: str, sae: str) -> QKD014Client:
            out = world.credentials(sae)
            files = str(out / "cert.pem"), str(out / "key.pem"), str(out / "ca.pem")
            return QKD014Client(world.urls[site].removeprefix("https://"), *files)

        alice, bob = client("cell1", "foreign-a"), client("core1", "foreign-b")
        for arguments in ({}, {"number": 2, "size": 128}, {"extension_mandatory": [{"key_source": "qra"}]}):
            code, container = alice.get_key("foreign-b", **arguments)
            assert code == 200
            code, twins = bob.get_key_with_key_IDs("foreign-a", [k.key_id for k in container.keys])
            assert code == 200
            assert [k.key for k in twins.keys] == [k.key for k in container.keys]
        code, status = alice.get_status("foreign-b")
        assert (code, status.target_kme_id) == (200, "kme-core1")
        code, error = bob.get_key_with_key_IDs("foreign-a", [str(uuid.uuid4())])
        assert code == 400
        assert "not found" in str(error)

    def test_our_client(self, world: KmsWorld) -> None:
        async def play() -> None:
            async with our_client(world, "metro1") as master, our_client(world, "core1") as slave:
                for source in ("dh", "qkd+dh"):
                    key_id, key = await master.enc_key("sae-core1", source)
                    assert await slave.dec_key("sae-metro1", key_id) == key
                    with pytest.raises(KmeRefusedError, match="not found") as caught:
                        await slave.dec_key("sae-metro1", key_id)
                    assert caught.value.status == 400
                assert (await master.status("sae-core1"))["key_size"] == 256

        asyncio.run(play())

    def test_our_client_tells_refused_from_unavailable(self, world: KmsWorld, tmp_path: Path) -> None:
        out = world.credentials("sae-metro1")
        authority.ensure_ca(tmp_path)

        async def play() -> None:
            with socket.socket() as unused:
                unused.bind(("127.0.0.1", 0))
                url = f"https://127.0.0.1:{unused.getsockname()[1]}"
                async with Kme014Client(url, out / "cert.pem", out / "key.pem", out / "ca.pem") as nobody:
                    with pytest.raises(KmeUnavailableError):
                        await nobody.enc_key("sae-core1", "dh")
            elsewhere = out / "cert.pem", out / "key.pem", tmp_path / "ca.pem"
            async with Kme014Client(world.urls["metro1"], *elsewhere) as suspicious:
                with pytest.raises(KmeRefusedError, match="not trusted"):
                    await suspicious.enc_key("sae-core1", "dh")

        asyncio.run(play())


def our_client(world: KmsWorld, site: str) -> Kme014Client:
    out = world.credentials(f"sae-{site}")
    return Kme014Client(world.urls[site], out / "cert.pem", out / "key.pem", out / "ca.pem")
