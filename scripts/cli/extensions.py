"""``--use KIND=TARGET``: what it names, looked at in a process of its own before anything else is begun."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from extensions.client import Worker
from extensions.errors import ExtensionError, WrongUse
from extensions.loading import Identity
from extensions.naming import Use, parse_use
from extensions.protocols import Kind
from scripts.errors import WrongRequest


def chosen_uses(texts: Iterable[str], kinds: Iterable[Kind], option: str = "--use") -> tuple[Use, ...]:
    """What the options name, each of one of ``kinds``, files as seen from here. Raises WrongRequest."""
    allowed, found = tuple(kinds), []
    for text in texts:
        try:
            use = parse_use(text, Path.cwd())
        except WrongUse as error:
            raise WrongRequest(f"{option}: {error}") from error
        if use.kind not in allowed:
            raise WrongRequest(f"{option}: {text}: here {', '.join(kind.value for kind in allowed)} can be extended")
        found.append(use)
    return tuple(found)


def identify(use: Use, option: str = "--use") -> Identity:
    """Who an extension is. Raises WrongRequest that says what is wrong with it."""
    worker = Worker(use)
    try:
        return worker.start()
    except ExtensionError as error:
        raise WrongRequest(f"{option}: {use}: {error.fault.value}: {error}") from error
    finally:
        worker.close()
