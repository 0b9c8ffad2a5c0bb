"""``slice``: the life cycle of slices, through the controller's northbound API."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

from scripts.cli.commands.many_slices import create_each, requests_in
from scripts.cli.commands.plan import print_plan
from scripts.cli.paths import path_text
from scripts.console.output import print_json, print_table, say
from scripts.console.progress import Progress
from scripts.errors import CommandError, DidNotHold, WrongRequest
from scripts.testbed.clients import Answer, every_slice
from scripts.testbed.key_rates import ask_when_known
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import running_record
from scripts.testbed.running_system import RunningSystem
from scripts.testbed.slice_requests import EXAMPLE_NAMES, RING, load_example, parse_value, read_document
from topologies.files.located_yaml import YamlError

FORMATS = ("qslice", "ietf", "3gpp")
SHAPES = """\
A request has one of two shapes. With cells, compute and core, connections holds the three of papers 001 and 002:
control (each cell - core), access (each cell - compute) and backhaul (compute - core). Else connections is a list:
  connections:
    - {name: up, from: cell1, to: core1, security: qkd, bandwidth_mbps: 2, reverse_bandwidth_mbps: 10, latency_ms: 20}
between any two sites; compute: {from: {vcpus: 2, memory_gb: 4}} is what it needs there. See scripts/examples/."""
# By the problem's code; its reasons follow, in the units of the request.
NOT_FEASIBLE = {
    "infeasible": "no feasible path",
    "key_rate_lacking": "no feasible path: QKD sections give too little key",
}
WAIT_S, MOST_WAIT_S = 60.0, 3600.0
# The controller counts in whole numbers of small units; a request is written in these.
REQUEST_UNITS = {"kbit/s": ("Mbit/s", 1000), "us": ("ms", 1000), "mbit/s": ("bit/s", 1000)}


def add_parsers(commands: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    group = commands.add_parser("slice", help="create, list, show, patch and delete slices").add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    create = group.add_parser(
        "create", parents=[common], help="create a slice from a YAML or JSON request", epilog=SHAPES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    create.add_argument(
        "file", nargs="?", metavar="FILE", help="the request, or `slices:` with a list of them; - reads standard input"
    )
    create.add_argument(
        "--example", choices=(*EXAMPLE_NAMES, RING), help="a use case of papers 001 and 002, or listed connections"
    )
    create.add_argument("--dry-run", action="store_true", help="plan it, change nothing")
    _add_wait(create)
    create.set_defaults(run=_create)
    listing = group.add_parser("list", parents=[common], help="all slices")
    listing.set_defaults(run=_list)
    show = group.add_parser("show", parents=[common], help="one slice with its connections")
    show.add_argument("name", metavar="NAME")
    show.add_argument(
        "--format", choices=FORMATS, default="qslice", help="qslice, or JSON after IETF or 3GPP data models"
    )
    show.set_defaults(run=_show)
    patch = group.add_parser("patch", parents=[common], help="change a slice in service, make before break")
    patch.add_argument("name", metavar="NAME")
    patch.add_argument("file", nargs="?", metavar="FILE", help="a merge patch in YAML or JSON; - reads standard input")
    patch.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", dest="changes",
        help="e.g. connections.access.bandwidth_mbps=20, a listed connection by its name; may be given several times",
    )  # fmt: skip
    patch.add_argument("--dry-run", action="store_true", help="plan it, change nothing")
    _add_wait(patch)
    patch.set_defaults(run=_patch)
    delete = group.add_parser("delete", parents=[common], help="remove a slice")
    delete.add_argument("name", metavar="NAME")
    delete.set_defaults(run=_delete)


def _add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", type=float, default=WAIT_S, metavar="SECONDS",
        help="for key rates that are not known yet, as after a start of the KMS (default %(default)g; 0: not at all)",
    )  # fmt: skip


def raise_problem(status: int, problem: Any) -> None:
    """Raise what an RFC 9457 problem document says, as the exit status that contracts.md gives it."""
    if not isinstance(problem, dict):
        raise DidNotHold(f"the controller answered {status}: {problem}")
    detail = str(problem.get("detail") or problem.get("title") or f"status {status}")
    reasons = [_reason_line(reason) for reason in problem.get("reasons", [])]
    headline = NOT_FEASIBLE.get(str(problem.get("code")))
    lines = [headline or detail, *reasons]
    lines += [f"  would fit: {fit.get('description') or fit}" for fit in problem.get("nearest", [])]
    wrong = status in (400, 404, 409, 413, 415) or (status == 422 and headline is None)
    error: type[CommandError] = WrongRequest if wrong else DidNotHold
    raise error("\n".join(lines))


def _reason_line(reason: dict[str, Any]) -> str:
    unit = reason.get("unit")
    needed, available = (_quantity(reason.get(name), unit) for name in ("needed", "available"))
    connection, constraint, where = (reason.get(name) for name in ("connection", "constraint", "where"))
    return f"  {connection}: {constraint} at {where}: needs {needed}, there is {available}"


def _quantity(value: Any, unit: str | None) -> str:
    """A value as a person reads it: in the units of the request where the controller counts in smaller ones."""
    if value is None:
        return "none"
    if isinstance(value, bool) or not isinstance(value, int | float) or unit is None:
        return str(value)
    name, size = REQUEST_UNITS.get(unit, (unit, 1))
    return f"{value / size:.10g} {name}"


def _system(layout: Layout) -> RunningSystem:
    return RunningSystem(running_record(layout), layout)


def _create(arguments: argparse.Namespace, layout: Layout) -> int:
    request, wait_s = _request(arguments), _wait_s(arguments)
    requests = requests_in(request)
    suffix = "?dry_run=true" if arguments.dry_run else ""
    system = _system(layout)

    def create(each: dict[str, Any]) -> dict[str, Any]:
        status, body = _ask(system, wait_s, "POST", f"/v1/slices{suffix}", each)
        if status not in (200, 201):
            raise_problem(status, body)
        found: dict[str, Any] = body
        return found

    if requests is not None:
        return create_each(requests, create, is_dry=arguments.dry_run, as_json=arguments.json)
    return _told(arguments, create(request))


def _wait_s(arguments: argparse.Namespace) -> float:
    wait_s: float = arguments.wait
    if not 0 <= wait_s <= MOST_WAIT_S:
        raise WrongRequest(f"--wait: {wait_s:g} is not from 0 to {MOST_WAIT_S:g} seconds")
    return wait_s


def _ask(system: RunningSystem, wait_s: float, method: str, path: str, body: Any) -> Answer:
    """The controller's answer, once it knows the key rates that it hangs on."""
    with ExitStack() as stack:
        shown: list[Progress] = []

        def tell(what: str) -> None:
            if not shown:
                shown.append(stack.enter_context(Progress("waiting for key rates")))
            shown[0].say(what)

        return ask_when_known(lambda: system.api(method, path, body), wait_s, tell)


def _told(arguments: argparse.Namespace, body: dict[str, Any]) -> int:
    if arguments.json:
        print_json(body)
    elif arguments.dry_run:
        say(f"slice {body['name']} would fit:")
        print_plan(body)
    else:
        say(f"slice {body['name']} is {body['state']}:")
        _print_connections(body)
    return 0


def _patch(arguments: argparse.Namespace, layout: Layout) -> int:
    if arguments.file is None and not arguments.changes:
        raise WrongRequest("FILE: name a patch file, or what to change by --set")
    patch = {} if arguments.file is None else read_document(arguments.file)
    for change in arguments.changes:
        _put(patch, change)
    suffix = "?dry_run=true" if arguments.dry_run else ""
    wait_s = _wait_s(arguments)
    status, body = _ask(_system(layout), wait_s, "PATCH", f"{_path(arguments.name)}{suffix}", patch)
    if status != 200:
        raise_problem(status, body)
    return _told(arguments, body)


def _put(patch: dict[str, Any], change: str) -> None:
    """Set one field of a patch, given as PATH=VALUE with the value in YAML."""
    path, equals, text = change.partition("=")
    keys = path.split(".")
    if not equals or not all(keys):
        raise WrongRequest(f"--set: {change!r} is not of the form PATH=VALUE")
    try:
        value = parse_value(text, tuple(keys))
    except YamlError as error:
        raise WrongRequest(f"--set: {path}: {text!r} is not YAML: {error}") from error
    place = patch
    for key in keys[:-1]:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise WrongRequest(f"--set: {path}: {key} has a value of its own already")
    place[keys[-1]] = value


def _request(arguments: argparse.Namespace) -> dict[str, Any]:
    if (arguments.file is None) == (arguments.example is None):
        raise WrongRequest("FILE: name a request file or --example, one of the two")
    if arguments.example:
        return load_example(arguments.example)
    return read_document(arguments.file)


def _list(arguments: argparse.Namespace, layout: Layout) -> int:
    status, slices = every_slice(_system(layout).api)
    if status != 200:
        raise_problem(status, slices)
    if arguments.json:
        print_json(slices)
        return 0
    rows = [(s["name"], s["state"], s["compute_site"], s["request"].get("core"), len(s["connections"])) for s in slices]
    print_table("Slices", ("name", "state", "compute", "core", "connections"), rows)
    return 0


def _show(arguments: argparse.Namespace, layout: Layout) -> int:
    is_ours = arguments.format == "qslice"
    body = _get(layout, _path(arguments.name) + ("" if is_ours else f"/{arguments.format}"))
    if arguments.json or not is_ours:
        print_json(body)
    else:
        say(f"slice {body['name']}: {body['state']}" + (f" ({body['reason']})" if body.get("reason") else ""))
        _print_connections(body)
    return 0


def _path(name: str) -> str:
    return f"/v1/slices/{quote(name, safe='')}"


def _delete(arguments: argparse.Namespace, layout: Layout) -> int:
    status, body = _system(layout).api("DELETE", _path(arguments.name))
    if status not in (200, 204):
        raise_problem(status, body)
    if arguments.json:
        print_json({"name": arguments.name, "deleted": True})
    else:
        say(f"slice {arguments.name} is deleted")
    return 0


def _get(layout: Layout, path: str) -> Any:
    status, body = _system(layout).api("GET", path)
    if status != 200:
        raise_problem(status, body)
    return body


def _print_connections(body: dict[str, Any]) -> None:
    columns = (
        "connection",
        "from",
        "to",
        "address",
        "peer",
        "asked",
        "level",
        "keys",
        "suite",
        "protection",
        "path",
        "backup",
        "state",
    )
    print_table("Connections", columns, [
        (c["name"], c["src"], c["dst"], c.get("src_address"), c.get("dst_address"), c["required"],
         c.get("level", c["required"]), c["key_source"], c.get("suite") or "-",
         c.get("protection"), path_text(c), path_text(c["backup"]), c.get("state"))
        for c in body["connections"]
    ])  # fmt: skip
    for connection in body["connections"]:
        notes = [connection.get("reason"), *connection.get("conditions", ())]
        for note in dict.fromkeys(n for n in notes if n):
            say(f"{connection['name']}: {note}")
