"""``slice create|patch``: slices made and changed, through the controller's northbound API."""

from __future__ import annotations

import argparse
from typing import Any

from scripts.cli.changes import put_change
from scripts.cli.commands.slices.asking import ask, wait_s_of
from scripts.cli.commands.slices.many import create_each, requests_in
from scripts.cli.commands.slices.plan import print_plan
from scripts.cli.commands.slices.reading import path_of, print_connections
from scripts.cli.controllers import controller_of, names_have_changed
from scripts.cli.handlers import Handlers
from scripts.cli.problems import raise_problem
from scripts.console.output import print_json, say
from scripts.errors import WrongRequest
from scripts.testbed.paths import Layout
from scripts.testbed.slice_requests import load_example, parse_value, read_document


def _create(arguments: argparse.Namespace, layout: Layout) -> int:
    request, wait_s = _request(arguments), wait_s_of(arguments)
    requests = requests_in(request)
    suffix = "?dry_run=true" if arguments.dry_run else ""
    api = controller_of(arguments, layout)

    def create(each: dict[str, Any]) -> dict[str, Any]:
        status, body = ask(api, wait_s, "POST", f"/v1/slices{suffix}", each)
        if status not in (200, 201):
            raise_problem(status, body)
        found: dict[str, Any] = body
        return found

    if requests is not None:
        status = create_each(requests, create, is_dry=arguments.dry_run, as_json=arguments.json)
    else:
        status = _told(arguments, create(request))
    if not arguments.dry_run:
        names_have_changed(arguments, layout)
    return status


def _told(arguments: argparse.Namespace, body: dict[str, Any]) -> int:
    if arguments.json:
        print_json(body)
    elif arguments.dry_run:
        say(f"slice {body['name']} would fit:")
        print_plan(body)
    else:
        say(f"slice {body['name']} is {body['state']}:")
        print_connections(body)
    return 0


def _patch(arguments: argparse.Namespace, layout: Layout) -> int:
    if arguments.file is None and not arguments.changes:
        raise WrongRequest("FILE: name a patch file, or what to change by --set")
    patch = {} if arguments.file is None else read_document(arguments.file)
    for change in arguments.changes:
        put_change(patch, change, parse_value)
    suffix = "?dry_run=true" if arguments.dry_run else ""
    wait_s = wait_s_of(arguments)
    status, body = ask(controller_of(arguments, layout), wait_s, "PATCH", f"{path_of(arguments.name)}{suffix}", patch)
    if status != 200:
        raise_problem(status, body)
    if not arguments.dry_run:
        names_have_changed(arguments, layout)
    return _told(arguments, body)


def _request(arguments: argparse.Namespace) -> dict[str, Any]:
    if (arguments.file is None) == (arguments.example is None):
        raise WrongRequest("FILE: name a request file or --example, one of the two")
    if arguments.example:
        return load_example(arguments.example)
    return read_document(arguments.file)


HANDLERS: Handlers = {
    "slice create": _create,
    "slice patch": _patch,
}
