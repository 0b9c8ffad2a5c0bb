"""``site list|show`` and ``section list``: sites and QKD sections, as the controller knows them."""

from __future__ import annotations

import argparse
from typing import Any

from scripts.cli.controllers import controller_of, get
from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, print_table
from scripts.errors import WrongRequest
from scripts.testbed.paths import Layout

TOPOLOGY = "/v1/topology"
SITE_FIELDS = ("name", "tier", "vcpus", "free_vcpus", "memory_gb", "free_memory_gb")
SECTION_FIELDS = ("id", "a", "b", "length_km", "state", "rate_bps", "reserved_bps", "qber")
CHANNEL_FIELDS = ("id", "a", "b", "class", "state", "capacity_mbps", "reserved_mbps")


def _list(arguments: argparse.Namespace, layout: Layout) -> int:
    sites = get(controller_of(arguments, layout), TOPOLOGY)["sites"]
    if arguments.json:
        print_json(sites)
    else:
        print_table("Sites", SITE_FIELDS, [[site[field] for field in SITE_FIELDS] for site in sites])
    return 0


def _show(arguments: argparse.Namespace, layout: Layout) -> int:
    topology = get(controller_of(arguments, layout), TOPOLOGY)
    site = next((each for each in topology["sites"] if each["name"] == arguments.id), None)
    if site is None:
        there = ", ".join(each["name"] for each in topology["sites"])
        raise WrongRequest(f"ID: there is no site {arguments.id[:80]!r}; there are {there}")
    channels = [each for each in topology["channels"] if arguments.id in (each["a"], each["b"])]
    sections = [each for each in topology["sections"] if arguments.id in (each["a"], each["b"])]
    if arguments.json:
        print_json({**site, "channels": channels, "sections": sections})
        return 0
    print_table(f"Site {site['name']}", SITE_FIELDS, [[site[field] for field in SITE_FIELDS]])
    print_table("Channels", CHANNEL_FIELDS, [[each[field] for field in CHANNEL_FIELDS] for each in channels])
    _print_sections(sections)
    return 0


def _sections(arguments: argparse.Namespace, layout: Layout) -> int:
    sections = get(controller_of(arguments, layout), TOPOLOGY)["sections"]
    if arguments.json:
        print_json(sections)
    else:
        _print_sections(sections)
    return 0


def _print_sections(sections: list[dict[str, Any]]) -> None:
    rows = [[*(each[f] for f in SECTION_FIELDS), "NOT SECURE" if each["secure"] is False else ""] for each in sections]
    print_table("QKD sections", (*SECTION_FIELDS, "note"), rows)


HANDLERS: Handlers = {"site list": _list, "site show": _show, "section list": _sections}
