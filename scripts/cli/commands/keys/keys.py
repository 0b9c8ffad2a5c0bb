"""``keys``: what the KMS holds."""

from __future__ import annotations

import argparse
from typing import Any

from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, print_table
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import running_record
from scripts.testbed.running_system import RunningSystem
from topologies.spec import Topology


def _keys(arguments: argparse.Namespace, layout: Layout) -> int:
    system = RunningSystem(running_record(layout), layout)
    body = system.kms.keys()
    if arguments.json:
        print_json(body)
        return 0
    columns = ("id", "from", "to", "km", "model", "state", "why", "secret bit/s", "in store, bits", "QBER")
    print_table("QKD sections", columns, [
        (
            s["id"], s["a"], s["b"], s["length_km"], section_model(s), s["state"], s["stop_reason"], key_rate(s),
            s["available_bits"], s["qber"],
        )
        for s in body["sections"]
    ])  # fmt: skip
    print_table("QKD links", ("id", "from", "to", "over", "state", "secret bit/s", "in store, bits"), [
        (
            link["id"], link["a"], link["b"], " ".join(link["sections"]), _link_state(link),
            key_rate(link), link["available_bits"],
        )
        for link in body["links"]
    ])  # fmt: skip
    if vendors := vendor_links(system.topology):
        served = ("id", "from", "to", "KME of the first", "secret bit/s")
        print_table("Vendors' QKD", served, [(*link, "not known") for link in vendors])
    if body["routes"]:
        print_table("Relay routes", ("from", "to", "over", "trusted nodes", "secret bit/s", "in store, bits"), [
            (
                r["a"], r["b"], " ".join(r["sections"]) if r["usable"] else f"NONE: {r['reason']}",
                " ".join(r["nodes"]), r["skr_bps"], r["available_bits"],
            )
            for r in body["routes"]
        ])  # fmt: skip
    print_table("Pools", ("from", "to", "source", "keys", "of"), [
        (p["a"], p["b"], p["source"], p["stored"], p["max"])
        for p in body["pools"]
    ])  # fmt: skip
    if body["reservations"]:
        reserved = ("master", "slaves", "source", "bit/s", "relays", "state", "over")
        print_table("Reservations", reserved, [
            (
                r["server_app_id"], " ".join(r["client_app_id"]), r["key_source"], r["min_bandwidth"],
                r["disjoint_relays"], r["app_status"], " ".join(r["sections"]),
            )
            for r in body["reservations"]
        ])  # fmt: skip
    return 0


def vendor_links(topology: Topology) -> list[tuple[str, str, str, str]]:
    """Pairs of sites whose vendor's KMEs serve QKD, by the operator's word: id, ends, and the URL at the first end."""
    return [
        (link, site.name, peer, site.kme.url)
        for site in topology.sites
        if site.kme is not None
        for peer in site.kme.qkd_with
        if site.name < peer and (link := topology.vendor_link(site.name, peer)) is not None
    ]


def _link_state(link: dict[str, Any]) -> str:
    if link["usable"]:
        return "usable"
    return "not judged yet" if link["skr_bps"] is None else "OFF"


def key_rate(shown: dict[str, Any]) -> float | str:
    """The rate of a section or link as a person reads it."""
    rate: float | None = shown["skr_bps"]
    return "not known yet" if rate is None else rate


def section_model(section: dict[str, Any]) -> str:
    """Protocol, and how its key comes about."""
    name = f"{section['protocol']}, {section['model']}"
    return name if section["secure"] else f"{name}, NOT SECURE"


HANDLERS: Handlers = {
    "keys": _keys,
}
