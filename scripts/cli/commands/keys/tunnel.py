"""``tunnel stats``: what agents and cards have carried, refused, saved and repaired."""

from __future__ import annotations

import argparse
from typing import Any

from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, print_table, say
from scripts.errors import EnvironmentLacks, WrongRequest
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import running_record
from scripts.testbed.running_system import RunningSystem

_MEGA = 1e6
_REACH = {True: "yes", False: "NO", None: "not known"}


def _stats(arguments: argparse.Namespace, layout: Layout) -> int:
    """Status 3 when an agent does not answer; what the others say is shown all the same."""
    system = _system(layout)
    if arguments.site is not None and not system.topology.has_site(arguments.site):
        raise WrongRequest(f"SITE: there is no site {arguments.site!r}; see `scripts/qslice status`")
    sites = system.topology.site_names if arguments.site is None else (arguments.site,)
    answered: dict[str, dict[str, dict[str, Any]]] = {}
    cards: dict[str, dict[str, dict[str, Any]]] = {}
    silent: dict[str, str] = {}
    for site in sites:
        try:
            answered[site] = system.tunnel_stats(site)
            if site in system.shelves:
                cards[site] = system.card_stats(site)
        except EnvironmentLacks as error:
            silent[site] = str(error)
    if arguments.json:
        said = {site: {"connections": found, "cards": cards.get(site, {})} for site, found in answered.items()}
        print_json({"sites": said, "silent": silent})
    else:
        _print(answered)
        _print_cards(cards)
        for reason in silent.values():
            say(reason)
    return EnvironmentLacks.exit_status if silent else 0


def _system(layout: Layout) -> RunningSystem:
    return RunningSystem(running_record(layout), layout)


def _print(answered: dict[str, dict[str, dict[str, Any]]]) -> None:
    rows = [(site, name, stats) for site, found in answered.items() for name, stats in sorted(found.items())]
    if not rows:
        say("no connections")
        return
    print_table("Connections", ("site", "connection", "state", "reachable", "keys", "age, s", "rekeys", "carried by",
                                "last error"), [
        (site, name, stats["state"], _REACH[stats.get("reachable")], stats["key_source"], stats.get("key_age_s"),
         stats.get("rekeys"), stats.get("data_plane"), stats.get("last_error"))
        for site, name, stats in rows
    ])  # fmt: skip
    sealed = [row for row in rows if "tx_packets" in row[2]]
    print_table("Packets", ("site", "connection", "sent", "MB", "received", "MB", "replays", "forged", "saved by 1+1",
                            "repaired", "other drops"), [
        (site, name, stats["tx_packets"], stats["tx_bytes"] / _MEGA, stats["rx_packets"], stats["rx_bytes"] / _MEGA,
         stats["rx_replay_drops"], stats["rx_auth_failures"], stats.get("rx_saved"), stats["rx_repaired"],
         _other_drops(stats))
        for site, name, stats in sealed
    ])  # fmt: skip
    print_table("Keys in use, and those that still receive", ("site", "connection", "stage", "SPI out", "sent", "MB",
                                                              "SPI in", "received", "MB", "age, s"), [
        (site, name, sa["stage"], sa["tx_spi"], sa["tx_packets"], sa["tx_bytes"] / _MEGA, sa["rx_spi"],
         sa["rx_packets"], sa["rx_bytes"] / _MEGA, sa["key_age_s"])
        for site, name, stats in sealed
        for sa in stats.get("sas") or ()
    ])  # fmt: skip


def _print_cards(answered: dict[str, dict[str, dict[str, Any]]]) -> None:
    rows = [(site, name, stats) for site, found in answered.items() for name, stats in sorted(found.items())]
    if not rows:
        return
    print_table("Cards", ("site", "wavelength", "state", "light", "keys", "age, s", "rekeys", "circuits", "sent", "MB",
                          "received", "MB", "drops", "last error"), [
        (site, name, stats["state"], _REACH[stats["has_light"]], stats["key_source"], stats["key_age_s"],
         stats["rekeys"], f"{sum(c['has_carrier'] for c in stats['clients'])} of {len(stats['clients'])}",
         stats["tx_packets"], stats["tx_bytes"] / _MEGA, stats["rx_packets"], stats["rx_bytes"] / _MEGA,
         stats["rx_replay_drops"] + _other_drops(stats), stats["last_error"])
        for site, name, stats in rows
    ])  # fmt: skip


def _other_drops(stats: dict[str, Any]) -> int:
    return sum(value for name, value in stats.items() if name.endswith("_drops") and name != "rx_replay_drops")


HANDLERS: Handlers = {
    "tunnel stats": _stats,
}
