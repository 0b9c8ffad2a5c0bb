"""``--use KIND=TARGET``: what it names, looked at in a process of its own before anything else is begun."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from scripts.configuration.values import Configuration, Source
from scripts.errors import WrongRequest
from scripts.extensions.client import Worker
from scripts.extensions.errors import ExtensionError, WrongUse
from scripts.extensions.loading import Identity
from scripts.extensions.naming import Use, parse_use
from scripts.extensions.protocols import Kind
from scripts.report.provenance import Extension
from scripts.testbed.extensions import OF_NETWORK, OF_SCENARIO, Chosen, InForce


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


def in_force(configuration: Configuration, kinds: Iterable[Kind], *, is_audited: bool = True) -> InForce:
    """The extensions that the configuration names, looked at; that their code runs as root is said. WrongRequest."""
    entry = configuration.entry("extensions.use")
    option = "--use" if entry.origin.source is Source.OPTION else str(entry.origin)
    found = chosen_in_force(entry.value, kinds, option)
    if found.of(Kind.SUITE) and configuration["tunnel.data_plane"] == "kernel":
        raise WrongRequest(f"{option}: a suite of an extension is for user space: no kernel has it (--tunnel)")
    sections = configuration["extensions.qkd_sections"]
    return replace(
        found, on_failure=configuration["extensions.on_failure"], deadline_s=configuration["extensions.deadline_s"],
        is_audited=is_audited, source_level=configuration["extensions.source_level"],
        qkd_sections=None if sections is None else tuple(sections), qkd_vouched=configuration["extensions.qkd_vouched"],
    )  # fmt: skip


def chosen_in_force(texts: Iterable[str], kinds: Iterable[Kind], option: str) -> InForce:
    """The extensions that ``texts`` name, on the terms that are the default. Raises WrongRequest."""
    uses = chosen_uses(texts, kinds, option)
    for kind in OF_NETWORK:
        if sum(use.kind is kind for use in uses) > 1:
            raise WrongRequest(f"{option}: {kind.value} is named twice: one can be in force")
    chosen = tuple(Chosen(use, identify(use, option)) for use in uses)
    names = [one.identity.name for one in chosen if one.use.kind in OF_SCENARIO]
    for name in names:
        if names.count(name) > 1:
            raise WrongRequest(f"{option}: two of them are called {name}")
    for one in chosen:
        print(f"qslice: {one.identity} runs as root: {one.identity.source}, SHA-256 {one.identity.sha256[:16]}",
              file=sys.stderr)  # fmt: skip
    return InForce(chosen)


def named_in_results(identities: Iterable[Identity]) -> tuple[Extension, ...]:
    """Each once, as results name it."""
    named = (Extension(one.kind, one.name, one.version, one.sha256) for one in identities)
    return tuple(dict.fromkeys(named))


def identify(use: Use, option: str = "--use") -> Identity:
    """Who an extension is. Raises WrongRequest that says what is wrong with it."""
    worker = Worker(use)
    try:
        return worker.start()
    except ExtensionError as error:
        raise WrongRequest(f"{option}: {use}: {error.fault.value}: {error}") from error
    finally:
        worker.close()
