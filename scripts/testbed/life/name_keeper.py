"""Keeps the files of names (:mod:`scripts.testbed.names`) as slices come and go, in threads of its own."""

from __future__ import annotations

import http.client
import logging
import os
import socket
import subprocess
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

from scripts.errors import EnvironmentLacks
from scripts.testbed.clients import Northbound, every_slice
from scripts.testbed.event_stream import EventStream
from scripts.testbed.names import hosts_file, names_file
from scripts.testbed.paths import Layout
from topologies.spec import Topology

log = logging.getLogger(__name__)

SYSTEMS_HOSTS = Path("/etc/hosts")
NAMED = ("ACTIVE", "DELETED")  # states that a slice comes to with its names, and without them
LEAST_S = 2.0
"""From one look at all slices to the next: a thousand that come one after the other are not looked at as often."""
AGAIN_S = 0.5
JOIN_TIMEOUT_S = 5.0


class NameKeeper:
    """Writes names once it is made, and whenever slices have changed, until it is closed.

    ``namespaces`` has the process that holds each host's namespaces open, by site.
    """

    def __init__(
        self, topology: Topology, layout: Layout, api: Northbound, namespaces: Mapping[str, int], logs: Iterable[str]
    ) -> None:
        self._topology, self._layout, self._api = topology, layout, api
        self._logs = tuple(logs)
        self._lock = threading.Lock()
        self._is_over, self._has_changed = threading.Event(), threading.Event()
        self._socket: socket.socket | None = None
        layout.hosts_files.mkdir(mode=0o700, exist_ok=True)
        self.refresh()
        for site in topology.site_names:
            _show_in(namespaces[site], layout.hosts_file(site))
        self._threads = [
            threading.Thread(target=target, name="names", daemon=True) for target in (self._follow, self._keep)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop; the files go with the run."""
        self._is_over.set()
        self._has_changed.set()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_S)

    def refresh(self) -> None:
        """Write what there is now; where the controller does not answer, what was written last stays."""
        with self._lock:
            try:
                status, slices = every_slice(self._api.call)
            except EnvironmentLacks:
                return
            if status != HTTPStatus.OK:
                return
            begin = _text(SYSTEMS_HOSTS)
            try:
                _write(self._layout.names, names_file(self._topology, slices, self._logs))
                for site in self._topology.site_names:
                    _write(self._layout.hosts_file(site), hosts_file(site, slices, begin))
            except OSError as error:
                log.warning("names are not up to date: %s", error)

    def _keep(self) -> None:
        while True:
            self._has_changed.wait()
            if self._is_over.is_set():
                return
            self._has_changed.clear()
            self.refresh()
            self._is_over.wait(LEAST_S)

    def _follow(self) -> None:
        while not self._is_over.is_set():
            # The controller is away, its token is not there (yet), or the run has ended.
            with suppress(OSError, http.client.HTTPException, EnvironmentLacks):
                stream = EventStream(self._api.url, token=self._api.token)
                self._socket = stream.socket
                self._has_changed.set()  # by what happened while nobody listened
                try:
                    for event in stream:
                        if event["event"] == "slice" and event["state"] in NAMED:
                            self._has_changed.set()
                finally:
                    stream.close()
            self._is_over.wait(AGAIN_S)


def _write(path: Path, text: str) -> None:
    """In its place: it is mounted in hosts, which would keep another file that it was replaced by."""
    content = text.encode()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(handle, 0o644)
        os.pwrite(handle, content, 0)
        os.truncate(handle, len(content))
    finally:
        os.close(handle)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "127.0.0.1 localhost\n"


def _show_in(pid: int, file: Path) -> None:
    """Mount the file where programs look, in a host's own view of the file system."""
    mount = ["nsenter", "-t", str(pid), "-m", "--", "mount", "--bind", str(file), str(SYSTEMS_HOSTS)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        log.warning("a host does not know connections by name: %s", done.stderr.strip())
