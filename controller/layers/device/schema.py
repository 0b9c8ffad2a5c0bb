"""YANG modules in force on a device (RFC 7950): what an edit says, read by them, and data held against them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeAlias

from lxml import etree
from yangson import DataModel
from yangson import exceptions as yang

import controller.device_model
from controller.device_model.edits import NETCONF, OPERATION, TOP, Edit, Operation
from controller.device_model.entries import KEYS, Entry, List
from controller.layers.device.rpc import RpcError

Element: TypeAlias = Any
OURS = Path(controller.device_model.__file__).parent / "yang"
# The standard modules come with pyang: docs/decisions/0018.
STANDARD = tuple(Path(sys.prefix) / "share" / "yang" / "modules" / folder for folder in ("ietf", "iana"))
INTERFACES = "urn:ietf:params:xml:ns:yang:ietf-interfaces"
ETHERNET = "iana-if-type:ethernetCsmacd"
# Which error-tag (RFC 6241, appendix A) says what the validation found.
_TAGS: tuple[tuple[type[Exception], str], ...] = (
    (yang.SemanticError, "data-missing"),  # RFC 7950, 15.5: a leafref to what is not there
    (yang.YangTypeError, "invalid-value"),
    (yang.RawTypeError, "invalid-value"),
    (yang.RawMemberError, "unknown-element"),
    (yang.MissingModuleNamespace, "unknown-namespace"),
)


class Schema:
    """The modules, loaded once."""

    def __init__(self) -> None:
        folders = tuple(str(folder) for folder in (OURS, *STANDARD))
        self._model = DataModel.from_file(str(OURS / "yang-library.json"), folders)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """Each module as a capability (RFC 6020, 5.6.4)."""
        data = self._model.schema_data
        return tuple(
            f"{each.xml_namespace}?module={name}&revision={revision}"
            for (name, revision), each in data.modules.items()
            if name in data.implement
        )

    def check(self, interfaces: Iterable[str], entries: Iterable[Entry]) -> None:
        """Hold a whole configuration against the modules. Raises RpcError."""
        lists: dict[str, list[Any]] = {}
        for entry in entries:
            lists.setdefault(entry.list.value, []).append(entry.body)
        raw = {
            "ietf-interfaces:interfaces": {
                "interface": [{"name": name, "type": ETHERNET, "enabled": True} for name in interfaces]
            },
            "qslice-cross-connects:cross-connects": lists,
        }
        try:
            self._model.from_raw(raw).validate()
        except yang.YangsonException as error:
            raise _refusal(error) from error

    def edits(self, config: Element, default: str | None) -> list[Edit]:
        """What a ``<config>`` asks for. Raises RpcError."""
        return [edit for top in config for edit in self._edits_of(top, default or Operation.MERGE.value)]

    def _edits_of(self, top: Element, default: str) -> Iterator[Edit]:
        if top.tag != TOP:
            known = etree.QName(top).namespace == INTERFACES
            tag, why = (
                ("operation-not-supported", "interfaces are as they are: they cannot be configured here")
                if known
                else ("unknown-namespace", f"nothing is known of {top.tag}")
            )
            raise RpcError(tag, why, info=(("bad-element", str(etree.QName(top).localname)),))
        if top.get(OPERATION, "merge") != "merge":
            raise RpcError("operation-not-supported", "operations stand at entries of lists here, not above them")
        for element in top:
            yield Edit(_operation(element.get(OPERATION, default)), self._entry(element))

    def _entry(self, element: Element) -> Entry:
        """Read by the module: numbers are numbers."""
        if any(OPERATION in child.attrib for child in element.iterdescendants()):
            raise RpcError("operation-not-supported", "operations stand at entries of lists here, not below them")
        alone = etree.Element("root")
        copy = deepcopy(element)
        copy.attrib.pop(OPERATION, None)
        etree.SubElement(alone, TOP).append(copy)
        try:
            raw = self._model.from_xml(alone).raw_value()
        except yang.YangsonException as error:
            raise _refusal(error) from error
        ((name, bodies),) = raw["qslice-cross-connects:cross-connects"].items()
        try:
            kind = List(name)
            missing = [key for key in KEYS[kind] if key not in bodies[0]]
        except (ValueError, IndexError, TypeError):
            raise RpcError("bad-element", f"{name} is no list", info=(("bad-element", name),)) from None
        if missing:
            raise RpcError("missing-element", f"{name} has no {missing[0]}", info=(("bad-element", missing[0]),))
        # The keys first, as XML wants them (RFC 7950, 7.8.5).
        return Entry(kind, {key: bodies[0][key] for key in KEYS[kind]} | bodies[0])


def _operation(name: str) -> Operation:
    try:
        return Operation(name)
    except ValueError:
        raise RpcError("bad-attribute", f"operation {name!r}",
                       info=(("bad-attribute", "operation"),)) from None  # fmt: skip


def _refusal(error: yang.YangsonException) -> RpcError:
    tag = next((tag for kind, tag in _TAGS if isinstance(error, kind)), "operation-failed")
    return RpcError(tag, f"{type(error).__name__}: {error}")


def interfaces_xml(names: Iterable[str], states: dict[str, str] | None = None) -> Element:
    """The interfaces (RFC 8343); with their state, that too."""
    top = etree.Element(f"{{{INTERFACES}}}interfaces", nsmap={None: INTERFACES})
    for name in names:
        interface = etree.SubElement(top, f"{{{INTERFACES}}}interface")
        etree.SubElement(interface, f"{{{INTERFACES}}}name").text = name
        kind = etree.SubElement(
            interface, f"{{{INTERFACES}}}type", nsmap={"ianaift": "urn:ietf:params:xml:ns:yang:iana-if-type"}
        )
        kind.text = "ianaift:ethernetCsmacd"
        etree.SubElement(interface, f"{{{INTERFACES}}}enabled").text = "true"
        if states is not None:
            etree.SubElement(interface, f"{{{INTERFACES}}}oper-status").text = states.get(name, "unknown")
    return top


def default_operation(edit_config: Element) -> str:
    """RFC 6241, 7.2: merge unless it says otherwise. Raises RpcError."""
    told = (edit_config.findtext(f"{{{NETCONF}}}default-operation") or "merge").strip()
    if told != "merge":
        raise RpcError("operation-not-supported", f"default-operation {told}: only merge, and operations at entries")
    return told
