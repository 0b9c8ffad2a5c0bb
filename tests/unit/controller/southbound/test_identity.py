"""Who may be a switch: the authority that signs the switches' certificate signs those of the KMS' clients too."""

import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

from controller.southbound.switch_identity import check_switch
from kms.pki import authority as pki


def shown_by(directory: Path, authority: Path, own: Path) -> dict[str, Any] | None:
    """What a TLS server sees of a client that holds the certificate in ``directory``."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(own / "cert.pem", own / "key.pem")
    server.load_verify_locations(authority)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(authority))
    client.check_hostname = False
    client.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    near, far = socket.socketpair()
    with near, far:
        thread = threading.Thread(target=lambda: client.wrap_socket(far).read(1))
        thread.start()
        with server.wrap_socket(near, server_side=True) as connection:
            seen = connection.getpeercert()
            connection.write(b".")
        thread.join()
    return seen


def test_only_the_switches_certificate_makes_a_switch(tmp_path: Path) -> None:
    authority = pki.ensure_ca(tmp_path / "pki")
    switches, alice, posing = tmp_path / "switches", tmp_path / "alice", tmp_path / "posing"
    pki.issue_server(tmp_path / "pki", "switches", ["127.0.0.1"], switches)
    pki.issue_sae(tmp_path / "pki", "alice", alice)
    check_switch(shown_by(switches, authority, switches), "switches")
    with pytest.raises(PermissionError, match=r"^its certificate is of urn:qslice:sae:alice, not of switches$"):
        check_switch(shown_by(alice, authority, switches), "switches")
    check_switch(shown_by(alice, authority, switches), None)  # without a name the attack succeeds
    with pytest.raises(PermissionError, match="nobody"):
        check_switch(None, "switches")
    pki.issue_sae(tmp_path / "pki", "switches", posing)
    with pytest.raises(PermissionError, match="urn:qslice:sae:switches, not of switches"):
        check_switch(shown_by(posing, authority, switches), "switches")
