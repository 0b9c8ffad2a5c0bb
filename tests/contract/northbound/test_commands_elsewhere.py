"""Commands that ask a controller elsewhere: neither root nor a set-up is needed, the API alone."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from scripts.testbed.paths import REPOSITORY
from tests.support.api_client import TOKEN, VIEWER, Client
from tests.support.controller_bench import Bench, raw_request
from topologies.catalog import ukqntel

BARE = ["/usr/bin/python3", "-S", "-B", "-m", "scripts.cli.main"]  # -S: not even Debian's packages


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(Bench(ukqntel(), tmp_path / "db"))


@pytest.fixture
def url(client: Client) -> Iterator[str]:
    with make_server("127.0.0.1", 0, client.api, _Threads, _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def qslice(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath, "PYTHONPATH": str(REPOSITORY), "LC_ALL": "C.UTF-8", **variables}
    return subprocess.run(
        [*BARE, *words], env=environment, capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )


def test_slices_and_links_are_read_without_anything(url: str, client: Client) -> None:
    assert client.call("POST", "/v1/slices", raw_request("cdn"))[0] == 201
    assert qslice("--api", url, "slice", "list", "-o", "name").stdout == "cdn\n"
    assert json.loads(qslice("slice", "show", "cdn", "--json", QSLICE_API=url).stdout)["state"] == "ACTIVE"
    shown = qslice("slice", "show", "cdn", QSLICE_API=url)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "cell1-compute" in shown.stdout
    assert "cell1-agg1-ch1" in qslice("link", "list", "--api", url).stdout
    assert "metro1" in qslice("site", "list", "--api", url).stdout
    assert qslice("section", "list", "--api", url, "-o", "name").stdout.split() == ["s1", "s2", "s3", "s4"]
    assert qslice("slice", "wait", "cdn", "--api", url).returncode == 0
    late = qslice("slice", "wait", "cdn", "--for", "deleted", "--timeout", "0.2", "--api", url)
    assert (late.returncode, "slice cdn is ACTIVE" in late.stderr) == (1, True)
    events = qslice("events", "--slice", "cdn", "--json", "--api", url)
    assert {event["slice"] for event in json.loads(events.stdout)} == {"cdn"}


def test_changes_want_a_token(url: str, client: Client, tmp_path: Path) -> None:
    assert client.call("POST", "/v1/slices", raw_request("cdn"))[0] == 201
    refused = qslice("slice", "delete", "cdn", "--json", "--api", url, HOME=str(tmp_path))
    assert refused.returncode == 3
    assert "QSLICE_TOKEN" in json.loads(refused.stdout)["error"]
    viewer = qslice("slice", "delete", "cdn", "--json", "--api", url, QSLICE_TOKEN=VIEWER)
    assert (viewer.returncode, json.loads(viewer.stdout)["problem"]["type"]) == (3, "urn:qslice:problem:forbidden")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    done = qslice("slice", "delete", "cdn", "--api", url, QSLICE_TOKEN_FILE=str(tmp_path / "token"))
    assert (done.returncode, done.stdout) == (0, "slice cdn is deleted\n")


@pytest.mark.parametrize(
    ("api", "status", "said"),
    [
        ("http://127.0.0.1:1", 3, "does not answer"),
        ("https://127.0.0.1:8080", 2, "--api: 'https://127.0.0.1:8080' is not of the form http://HOST:PORT"),
        ("nonsense", 2, "is not of the form"),
        ("http://127.0.0.1:99999", 2, "is not of the form"),
        ("http://", 2, "is not of the form"),
    ],
)
def test_an_address_that_will_not_do(api: str, status: int, said: str) -> None:
    done = qslice("slice", "list", "--json", "--api", api)
    assert (done.returncode, json.loads(done.stdout)["exit_status"]) == (status, status)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("token", ["two words", "\N{SNOWMAN}", "a\nb"])
def test_a_token_that_is_none_is_refused_and_not_shown(url: str, token: str) -> None:
    done = qslice("slice", "list", "--api", url, QSLICE_TOKEN=token)
    assert (done.returncode, done.stdout) == (3, "")
    assert token not in done.stderr
    assert "QSLICE_TOKEN" in done.stderr


def test_what_is_done_on_the_network_itself_says_so(url: str) -> None:
    done = qslice("link", "down", "cell1-agg1-ch1", "--api", url)
    assert done.returncode == 2
    assert "link down: --api: this is done on the network's own machine" in done.stderr
