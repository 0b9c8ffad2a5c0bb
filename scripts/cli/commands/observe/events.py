"""``events``: what the controller tells of slices, connections, links and keys, as it happens."""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from scripts.cli.controllers import controller_of
from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, say
from scripts.console.streams import INTERRUPTED
from scripts.errors import EnvironmentLacks
from scripts.testbed.clients import Northbound
from scripts.testbed.event_stream import EventStream
from scripts.testbed.paths import Layout

FROM_THE_FIRST = "0"
QUIET_S = 0.5  # what is kept comes at once: after so long it has come
AWAY_S, AGAIN_S = 60.0, 0.5
_IN_FRONT = ("time", "event", "sequence")


def _events(arguments: argparse.Namespace, layout: Layout) -> int:
    api = controller_of(arguments, layout)
    after = FROM_THE_FIRST if arguments.after is None and not arguments.follow else _text(arguments.after)
    if not arguments.follow:
        found = [event for event in _kept(api, after) if _is_asked_for(arguments, event)]
        if arguments.json:
            print_json(found)
        else:
            for event in found:
                say(_line(event))
        return 0
    try:
        for event in _followed(api, after):
            if _is_asked_for(arguments, event):
                _tell(arguments, event)
                sys.stdout.flush()  # whoever follows through a pipe waits for it
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _tell(arguments: argparse.Namespace, event: Mapping[str, Any]) -> None:
    """One document a line: what follows has no end that could close a list."""
    if arguments.output == "yaml":
        say("---")
        print_json(event)
    else:
        say(json.dumps(event) if arguments.json else _line(event))


def _kept(api: Northbound, after: str | None) -> Iterator[dict[str, Any]]:
    """What the controller still keeps of what has happened (the last 1,000 events)."""
    try:
        stream = EventStream(api.url, after, token=api.token, silence_s=QUIET_S)
    except (OSError, http.client.HTTPException) as error:
        raise EnvironmentLacks(f"the controller does not answer at {api.url}: {error}") from error
    try:
        yield from stream
    except TimeoutError:
        pass
    finally:
        stream.close()


def _followed(api: Northbound, after: str | None) -> Iterator[dict[str, Any]]:
    """What happens from now on, also over a restart of the controller. EnvironmentLacks when it stays away."""
    away_since: float | None = None
    while True:
        try:
            stream = EventStream(api.url, after, token=api.token)
        except (OSError, http.client.HTTPException) as error:
            away_since = time.monotonic() if away_since is None and after else away_since
            if away_since is None or time.monotonic() - away_since > AWAY_S:
                raise EnvironmentLacks(f"the controller does not answer at {api.url}: {error}") from error
            time.sleep(AGAIN_S)
            continue
        away_since = None
        try:
            for event in stream:
                after = str(event["sequence"])
                yield event
        except (OSError, http.client.HTTPException):
            pass
        finally:
            stream.close()


def _is_asked_for(arguments: argparse.Namespace, event: Mapping[str, Any]) -> bool:
    if arguments.slice is not None and event.get("slice") != arguments.slice:
        return False
    return not arguments.kinds or event["event"] in arguments.kinds


def _line(event: Mapping[str, Any]) -> str:
    members = [f"{name}={_shown(event[name])}" for name in event if name not in _IN_FRONT and event[name] is not None]
    return " ".join([str(event["time"]), str(event["event"]), *members])


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and " " not in value else json.dumps(value)


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


HANDLERS: Handlers = {"events": _events}
