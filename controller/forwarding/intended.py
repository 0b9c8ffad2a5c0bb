"""What the switches shall hold, counted by who wants it, and how that differs from what they do hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from controller.forwarding.items import Group, Item, Meter, Rule
from controller.forwarding.label_quarantine import LabelQuarantine
from controller.forwarding.rules import base_rules


@dataclass(frozen=True)
class Changes:
    """What one switch is to take away and to take on; ``replace`` are meters and groups that change in place.

    Rules go first and groups last, so that a group is never taken from under a rule that is about to be overwritten.
    """

    remove: tuple[Item, ...] = ()
    add: tuple[Item, ...] = ()
    replace: tuple[Meter | Group, ...] = ()
    departures: tuple[int, ...] = ()  # to be confirmed to the quarantine of labels when the switch has done all of it


@dataclass(frozen=True)
class Difference:
    """Installed compared with intended, for one switch."""

    missing: tuple[Item, ...]
    excess: tuple[Item, ...]
    misconfigured: tuple[tuple[Item, Item], ...]  # (installed, intended)

    @property
    def is_empty(self) -> bool:
        return not (self.missing or self.excess or self.misconfigured)

    def without(self, items: frozenset[Item]) -> Difference:
        """Leaving out what concerns these, present or not."""
        return Difference(
            tuple(i for i in self.missing if i not in items),
            tuple(i for i in self.excess if i not in items),
            tuple(pair for pair in self.misconfigured if not items.intersection(pair)),
        )

    def repair(self) -> Changes:
        """The changes that make the switch right. A rule is overwritten in place, so traffic is not interrupted."""
        overwritten = [wanted for _, wanted in self.misconfigured]
        return Changes(
            remove=self.excess,
            add=(*(i for i in overwritten if isinstance(i, Rule)), *self.missing),
            replace=tuple(i for i in overwritten if isinstance(i, Meter | Group)),
        )


class IntendedSet:
    """The union of what all connections want, per switch.

    Equal items that several want (ARP) stay until the last one lets go. Of two different items with one key the
    later is in force: so a connection's ingress rule passes from one route to the next without a gap.
    """

    def __init__(self, sites: Iterable[str], quarantine: LabelQuarantine) -> None:
        self._quarantine = quarantine
        self._wanted: dict[str, Counter[Item]] = {}
        self._in_force: dict[str, dict[object, Item]] = {}
        self._by_owner: dict[str, tuple[Item, ...]] = {}
        self._revision: Counter[str] = Counter()  # by site: how often it was to be changed
        for site in sites:
            self._wanted[site] = Counter(base_rules(site))
            self._in_force[site] = {rule.key: rule for rule in base_rules(site)}

    def copy(self, quarantine: LabelQuarantine) -> IntendedSet:
        """An independent set in which everybody wants the same."""
        twin = object.__new__(IntendedSet)
        twin._quarantine = quarantine
        twin._wanted = {site: counts.copy() for site, counts in self._wanted.items()}
        twin._in_force = {site: dict(items) for site, items in self._in_force.items()}
        twin._by_owner = dict(self._by_owner)
        twin._revision = Counter(self._revision)
        return twin

    def of(self, owner: str) -> tuple[Item, ...]:
        """What ``owner`` wants now."""
        return self._by_owner.get(owner, ())

    def assign(self, owner: str, items: Iterable[Item]) -> dict[str, Changes]:
        """Let ``owner`` want exactly ``items``, each once; the changes per switch that follow from it."""
        old, new = dict.fromkeys(self.of(owner)), dict.fromkeys(items)
        removed: dict[str, list[Item]] = {}
        added: dict[str, list[Item]] = {}
        replaced: dict[str, list[Meter | Group]] = {}
        leaving: dict[str, list[Item]] = {}  # what a switch holds now and shall not hold any more
        for item in new:
            if item in old:
                continue
            site, key, in_force = item.site, item.key, self._in_force[item.site]
            self._wanted[site][item] += 1
            before = in_force.get(key)
            if before == item:
                continue
            in_force[key] = item
            if before is not None:
                leaving.setdefault(site, []).append(before)
            if before is not None and isinstance(item, Meter | Group):
                replaced.setdefault(site, []).append(item)
            else:
                added.setdefault(site, []).append(item)
        for item in old:
            if item in new:
                continue
            counts = self._wanted[item.site]
            counts[item] -= 1
            if counts[item] <= 0:
                del counts[item]
                if self._in_force[item.site].get(item.key) == item:
                    del self._in_force[item.site][item.key]
                    removed.setdefault(item.site, []).append(item)
                    leaving.setdefault(item.site, []).append(item)
        if new:
            self._by_owner[owner] = tuple(new)
        else:
            self._by_owner.pop(owner, None)
        changes = {}
        for site in dict.fromkeys([*removed, *added, *replaced]):
            self._revision[site] += 1
            changes[site] = Changes(
                tuple(removed.get(site, ())),
                tuple(added.get(site, ())),
                tuple(replaced.get(site, ())),
                self._depart(site, leaving.get(site, ())),
            )
        return changes

    def revision(self, site: str) -> int:
        """Another number whenever what the switch shall hold has been changed."""
        return self._revision[site]

    def at(self, site: str) -> frozenset[Item]:
        """Everything that the switch of ``site`` shall hold."""
        return frozenset(self._in_force[site].values())

    def difference(self, site: str, installed: Iterable[Item]) -> Difference:
        return compare(self.at(site), installed)

    def repair(self, site: str, difference: Difference) -> Changes:
        """The changes that make the switch right; labels that it has sent under against our will are kept as well."""
        wrong = (*difference.excess, *(installed for installed, _ in difference.misconfigured))
        return replace(difference.repair(), departures=self._depart(site, wrong))

    def _depart(self, site: str, items: Iterable[Item]) -> tuple[int, ...]:
        """What is to be confirmed to the quarantine when the switch has let go of ``items``."""
        number = self._quarantine.depart(site, items)
        return () if number is None else (number,)


def compare(intended: Iterable[Item], installed: Iterable[Item]) -> Difference:
    """Missing, excess and misconfigured items (as OpenKilda's rule validation sorts them), in a stable order."""
    wanted, present = {i.key: i for i in intended}, {i.key: i for i in installed}
    common = wanted.keys() & present.keys()
    return Difference(
        missing=tuple(wanted[k] for k in sorted(wanted.keys() - common, key=repr)),
        excess=tuple(present[k] for k in sorted(present.keys() - common, key=repr)),
        misconfigured=tuple((present[k], wanted[k]) for k in sorted(common, key=repr) if present[k] != wanted[k]),
    )


def join(parts: Iterable[Mapping[str, Changes]]) -> dict[str, Changes]:
    """Several sets of changes as one per switch, in the order given."""
    joined: dict[str, tuple[list[Item], list[Item], list[Meter | Group], list[int]]] = {}
    for part in parts:
        for site, changes in part.items():
            remove, add, replace, departures = joined.setdefault(site, ([], [], [], []))
            remove += changes.remove
            add += changes.add
            replace += changes.replace
            departures += changes.departures
    return {site: Changes(tuple(r), tuple(a), tuple(m), tuple(d)) for site, (r, a, m, d) in joined.items()}
