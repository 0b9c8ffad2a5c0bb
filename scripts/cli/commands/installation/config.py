"""``config``: what is in force and where it comes from, what is wrong with a file, the schema of the file."""

from __future__ import annotations

import argparse
import json
import os

from scripts.cli.configuration import configuration_of
from scripts.cli.handlers import Handlers
from scripts.configuration.schema import json_schema
from scripts.configuration.sources import FILE_VARIABLE, configuration_file, configuration_of_file
from scripts.configuration.table import BY_NAME
from scripts.configuration.values import Configuration, Source
from scripts.console.output import print_json, print_table, say
from scripts.errors import WrongRequest
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import running_record
from topologies.files.problems import DocumentError, did_you_mean
from topologies.spec import TopologyError


def _show(arguments: argparse.Namespace, layout: Layout) -> int:
    if arguments.running:
        configuration = Configuration.from_dict(running_record(layout).configuration)
    else:
        configuration = configuration_of(arguments)
    section = arguments.section
    found = [(s, e) for s, e in configuration.entries() if section is None or f"{s.name}.".startswith(f"{section}.")]
    if not found:
        known = dict.fromkeys(".".join(s.path[:n]) for s, _ in configuration.entries() for n in range(1, 4))
        raise WrongRequest(f"SECTION: there is no setting {section!r}: {did_you_mean(section, known, 'settings')}")
    if arguments.json:
        print_json(
            {
                "settings": {
                    s.name: {
                        "value": e.value, "default": s.default, "unit": s.unit or None,
                        "from": {"source": e.origin.source.value, "where": e.origin.where or None},
                    }
                    for s, e in found
                }
            }
        )  # fmt: skip
    else:
        print_table("Configuration", ("setting", "value", "unit", "from"),
                    [(s.name, json.dumps(e.value), s.unit, str(e.origin)) for s, e in found])  # fmt: skip
    return 0


def _validate(arguments: argparse.Namespace, layout: Layout) -> int:
    named = configuration_file(arguments.file or arguments.config, os.environ)
    if named is None:
        raise WrongRequest(f"FILE: name one, or set {FILE_VARIABLE}")
    try:
        configuration = configuration_of_file(named[0])
    except DocumentError as error:
        if arguments.json:
            problems = [{"line": p.line, "field": p.place, "message": p.message, "remedy": p.remedy}
                        for p in error.problems]  # fmt: skip
            print_json({"valid": False, "problems": problems})
        else:
            for problem in error.problems:
                say(f"{named[0]}:{problem.line or 1}: {problem}")
        return WrongRequest.exit_status
    except TopologyError as error:
        raise WrongRequest(f"FILE: {error}") from error
    found = [s.name for s, e in configuration.entries() if e.origin.source is Source.FILE]
    if arguments.json:
        print_json({"valid": True, "problems": [], "settings": found})
    else:
        say(f"{named[0]} is valid: it sets {len(found)} of {len(BY_NAME)} settings")
    return 0


def _schema(arguments: argparse.Namespace, layout: Layout) -> int:
    print_json(json_schema())
    return 0


HANDLERS: Handlers = {"config show": _show, "config validate": _validate, "config schema": _schema}
