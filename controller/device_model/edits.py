"""Changes of a device's configuration as NETCONF writes them (RFC 6241, 7.2), and what they make of it.

Operations stand at entries of lists, the smallest thing that anybody changes here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from lxml import etree

from controller.device_model.entries import KEYS, Body, Entry, Foreign, Key, SwitchModel
from controller.forwarding.intended import Changes
from controller.forwarding.items import Item

NETCONF = "urn:ietf:params:xml:ns:netconf:base:1.0"
CROSS_CONNECTS = "urn:qslice:yang:cross-connects"
TOP = f"{{{CROSS_CONNECTS}}}cross-connects"
OPERATION = f"{{{NETCONF}}}operation"
DIRECT = ("tag", "out-label", "out-interface")  # one case of the choice `how`; `group` is the other
Element: TypeAlias = Any


class Operation(StrEnum):
    """RFC 6241, 7.2."""

    MERGE = "merge"
    REPLACE = "replace"
    CREATE = "create"
    DELETE = "delete"
    REMOVE = "remove"


@dataclass(frozen=True)
class Edit:
    """``entry`` of what goes may have its key alone."""

    operation: Operation
    entry: Entry


class DataExists(ValueError):
    """RFC 6241, 7.2: ``create`` of what is there."""


class DataMissing(ValueError):
    """RFC 6241, 7.2: ``delete`` of what is not there."""


def edits_of(model: SwitchModel, changes: Changes) -> list[Edit]:
    """What makes the changes. Doing them again does no harm. Raises Foreign."""
    going = [Edit(Operation.REMOVE, _key_alone(entry)) for entry in _all(model, changes.remove)]
    return [*going, *(Edit(Operation.REPLACE, entry) for entry in _all(model, (*changes.replace, *changes.add)))]


def _all(model: SwitchModel, items: Iterable[Item]) -> Iterator[Entry]:
    for item in items:
        entry = model.entry(item)
        if entry is None:
            raise Foreign(f"the device's model has no words for {item}")
        yield entry


def _key_alone(entry: Entry) -> Entry:
    return Entry(entry.list, {name: entry.body[name] for name in KEYS[entry.list]})


def apply(entries: Mapping[Key, Entry], edits: Iterable[Edit]) -> dict[Key, Entry]:
    """The configuration after the edits. Raises DataExists, DataMissing."""
    after = dict(entries)
    for edit in edits:
        key, there = edit.entry.key, after.get(edit.entry.key)
        if edit.operation is Operation.CREATE and there is not None:
            raise DataExists(path_of(edit.entry))
        if edit.operation is Operation.DELETE and there is None:
            raise DataMissing(path_of(edit.entry))
        if edit.operation in (Operation.DELETE, Operation.REMOVE):
            after.pop(key, None)
        elif edit.operation is Operation.MERGE and there is not None:
            after[key] = Entry(edit.entry.list, _merged(there.body, edit.entry.body))
        else:
            after[key] = edit.entry
    return after


def _merged(old: Body, new: Body) -> Body:
    if "group" in new:
        old = {name: value for name, value in old.items() if name not in DIRECT}
    elif any(name in new for name in DIRECT):
        old = {name: value for name, value in old.items() if name != "group"}
    merged = {**old, **new}
    if "way" in old and "way" in new:
        ways = {way["index"]: way for way in old["way"]}
        for way in new["way"]:
            ways[way["index"]] = {**ways.get(way["index"], {}), **way}
        merged["way"] = list(ways.values())
    return merged


def path_of(entry: Entry) -> str:
    """Where it is, as an instance identifier (RFC 7950, 9.13)."""
    keys = "".join(f"[{name}='{value}']" for name, value in zip(KEYS[entry.list], entry.key[1], strict=True))
    return f"/qslice-cross-connects:cross-connects/{entry.list}{keys}"


# --- XML ---------------------------------------------------------------------------------------------------------


def config_xml(edits: Iterable[Edit]) -> bytes:
    """``<config>`` with the edits: the body of a PATCH, and of an ``<edit-config>``."""
    config = etree.Element(f"{{{NETCONF}}}config", nsmap={"nc": NETCONF})
    top = etree.SubElement(config, TOP, nsmap={None: CROSS_CONNECTS})
    for edit in edits:
        entry_xml(top, edit.entry).set(OPERATION, edit.operation.value)
    return bytes(etree.tostring(config))


def entry_xml(parent: Element, entry: Entry) -> Element:
    """Append the entry."""
    element = etree.SubElement(parent, f"{{{CROSS_CONNECTS}}}{entry.list.value}")
    _fill(element, entry.body)
    return element


def _fill(element: Element, body: Body) -> None:
    for name, value in body.items():
        for each in value if isinstance(value, list) else (value,):
            child = etree.SubElement(element, f"{{{CROSS_CONNECTS}}}{name}")
            if isinstance(each, dict):
                _fill(child, each)
            else:
                child.text = str(each)
