"""The controller that a command asks: that of this machine's run, or the one that ``--api`` names."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scripts.cli.problems import raise_problem
from scripts.errors import EnvironmentLacks, WrongRequest
from scripts.testbed.clients import Northbound
from scripts.testbed.life.supervisor import SupervisorClient
from scripts.testbed.paths import Layout


def controller_of(arguments: argparse.Namespace, layout: Layout) -> Northbound:
    """Raises WrongRequest where ``--api`` is no address, EnvironmentLacks where nothing runs here."""
    if arguments.api:
        return Northbound(_address(arguments.api), token=_token())
    # Loads what a network is, which asking a controller elsewhere spares.
    from scripts.testbed.run_record import running_record

    record = running_record(layout)
    return Northbound(record.api_url, record.layout(layout).token)


def names_have_changed(arguments: argparse.Namespace, layout: Layout) -> None:
    """Have hosts and shells know the names of slices that were just made or removed on this machine's network."""
    if arguments.api:
        return
    with suppress(EnvironmentLacks):  # they follow by themselves, a little later
        SupervisorClient(layout.supervisor_socket).refresh_names()


def get(api: Northbound, path: str) -> Any:
    """What is there; the controller's refusal as an error."""
    status, body = api.call("GET", path)
    if status != 200:
        raise_problem(status, body)
    return body


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_one = parts.scheme == "http" and bool(parts.hostname) and parts.path in ("", "/") and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise WrongRequest(f"--api: {url[:80]!r} is not of the form http://HOST:PORT")
    return url.rstrip("/")


def _token() -> str | None:
    """As the environment has it; None where it has none. This machine's own goes to no controller elsewhere."""
    if given := os.environ.get("QSLICE_TOKEN"):
        return _checked("QSLICE_TOKEN", given)
    if named := os.environ.get("QSLICE_TOKEN_FILE"):
        try:
            return _checked("QSLICE_TOKEN_FILE", Path(named).read_text(encoding="ascii"))
        except OSError as error:
            raise EnvironmentLacks(f"QSLICE_TOKEN_FILE: cannot read {named}: {error.strerror}") from error
        except UnicodeDecodeError:
            raise EnvironmentLacks(f"QSLICE_TOKEN_FILE: {named} holds no token") from None
    return None


def _checked(where: str, text: str) -> str:
    """A token that can stand in a header; it is in no message."""
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise EnvironmentLacks(f"{where}: holds no token")
    return token
