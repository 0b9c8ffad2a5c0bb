"""``extension``: what can be extended, and whether an extension does what it must."""

from __future__ import annotations

import argparse
from typing import Any

from scripts.cli.extensions import chosen_uses
from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, print_table, say
from scripts.extensions.client import Worker
from scripts.extensions.errors import ExtensionError
from scripts.extensions.naming import SHIPPED, parse_use, short_names
from scripts.extensions.protocols import CONTRACTS, Kind
from scripts.testbed.paths import REPOSITORY, Layout


def _list(arguments: argparse.Namespace, layout: Layout) -> int:
    found = [_one(kind, name) for kind in Kind for name in sorted(short_names(kind))]
    if arguments.json:
        print_json(found)
        return 0
    print_table("What can be extended", ("kind", "purpose", "methods", "deadline"),
                [(kind.value, c.purpose, ", ".join(c.methods), f"{c.deadline_s:g} s")
                 for kind, c in CONTRACTS.items()])  # fmt: skip
    print_table("Extensions", ("kind", "name", "version", "SHA-256", "source"),
                [(e["kind"], e["name"], e["version"] or e["error"], (e["sha256"] or "")[:12], e["source"])
                 for e in found])  # fmt: skip
    say("others: --use KIND=MODULE:NAME or KIND=./file.py:NAME; their code runs as root")
    return 0


def _one(kind: Kind, name: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": kind.value, "name": name, "is_shipped": name in SHIPPED[kind], "error": None}
    worker = Worker(parse_use(f"{kind.value}={name}", REPOSITORY))
    try:
        identity = worker.start()
    except ExtensionError as error:
        return {**entry, "version": None, "sha256": None, "source": worker.use.target, "error": str(error)}
    finally:
        worker.close()
    return {**entry, "version": identity.version, "sha256": identity.sha256, "source": identity.source}


def _check(arguments: argparse.Namespace, layout: Layout) -> int:
    from scripts.conformance.suite import check_extension  # loads networkx

    (use,) = chosen_uses([arguments.use], Kind, "KIND=TARGET")
    report = check_extension(use, arguments.deadline)
    if arguments.json:
        print_json(report.to_dict())
    else:
        print_table(f"{use}", ("check", "holds", "detail"),
                    [(check.name, "yes" if check.ok else "NO", check.detail) for check in report.checks])  # fmt: skip
    return 0 if report.ok else 1


HANDLERS: Handlers = {"extension list": _list, "extension check": _check}
