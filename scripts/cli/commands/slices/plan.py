"""The plan of a dry run, for a person: every path, label and rule, what it takes and what it costs."""

from __future__ import annotations

from typing import Any

from scripts.cli.paths import LATENCY_COLUMNS, latency_rows, path_text
from scripts.console.output import print_table, say


def print_plan(plan: dict[str, Any]) -> None:
    """All of it; ``--json`` has the same for programs."""
    connections = plan["connections"]
    if plan["compute_site"] is not None:
        say(f"compute at {plan['compute_site']}")
    asked = ("connection", "from", "to", "asked", "keys", "Mbit/s", "back", "ms", "path", "backup")
    print_table("Connections", asked, [
        (c["name"], c["src"], c["dst"], c["required"], c["key_source"], c["bandwidth_mbps"],
         c["reverse_bandwidth_mbps"], c["latency_ms"], path_text(c), path_text(c["backup"]))
        for c in connections
    ])  # fmt: skip
    print_table("Latency", LATENCY_COLUMNS, latency_rows(connections))
    print_table("Labels, hop by hop", ("connection", "address", "peer", "forward", "reverse"), [
        (c["name"], c["src_address"], c["dst_address"], *(_numbers(c["labels"][way]) for way in ("forward", "reverse")))
        for c in connections
    ])  # fmt: skip
    print_table("Cost", ("connection", "surplus levels", "latency us", "load per mille", "total"), [
        *((c["name"], *_cost(c["cost_parts"])) for c in connections),
        ("slice", *_cost(plan["cost"])),
    ])  # fmt: skip
    print_table(
        "Bandwidth it would reserve",
        ("channel", "Mbit/s, the way that takes more"),
        sorted(plan["reserved_mbps"].items()),
    )
    if plan["key_rate_bps"]:
        print_table("Key rate it would reserve", ("QKD section", "bit/s"), sorted(plan["key_rate_bps"].items()))
    for site, switch in plan["switches"].items():
        say(f"Switch {site}")
        for rule in switch["rules"]:
            metered = "" if rule["meter"] is None else f"meter:{rule['meter']}, "
            say(f"  {rule['priority']} {_pairs(rule['match'])} -> {metered}{', '.join(rule['actions'])}")
        for meter in switch["meters"]:
            say(f"  meter {meter['id']}: {meter['rate_kbps']} kbit/s, bucket {meter['burst_kbits']} kbit")
        for group in switch["groups"]:
            ways = " | ".join(", ".join(bucket["actions"]) for bucket in group["buckets"])
            say(f"  group {group['id']} ({group['type']}): {ways}")


def _numbers(values: list[int]) -> str:
    return " ".join(str(value) for value in values)


def _pairs(match: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in match.items())


def _cost(parts: dict[str, int]) -> tuple[int, int, int, int]:
    return parts["surplus_levels"], parts["latency_us"], parts["load_permille"], parts["total"]
