"""NETCONF's messages (RFC 6241) as XML: what is asked, and the answers. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from lxml import etree

from controller.device_model.edits import NETCONF

BASE_1_0, BASE_1_1 = (f"urn:ietf:params:netconf:base:{version}" for version in ("1.0", "1.1"))
CAPABILITIES = (
    BASE_1_0,
    BASE_1_1,
    "urn:ietf:params:netconf:capability:writable-running:1.0",
    "urn:ietf:params:netconf:capability:rollback-on-error:1.0",
)
Element: TypeAlias = Any


class RpcError(Exception):
    """A refusal, as RFC 6241, 4.3 and appendix A write it."""

    def __init__(self, tag: str, message: str, kind: str = "application", path: str | None = None,
                 info: tuple[tuple[str, str], ...] = ()) -> None:  # fmt: skip
        super().__init__(message)
        self.tag, self.message, self.kind, self.path, self.info = tag, message, kind, path, info


@dataclass(frozen=True)
class Rpc:
    """A request: its operation, and the attributes that its answer repeats (4.2)."""

    operation: Element
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(etree.QName(self.operation).localname)


def parse_xml(octets: bytes) -> Element:
    """Raises RpcError. No entities, nothing from elsewhere."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True, huge_tree=False
    )
    try:
        root = etree.fromstring(octets, parser)
    except etree.XMLSyntaxError as error:
        raise RpcError("malformed-message", f"not XML: {error}", "rpc") from error
    if root.getroottree().docinfo.doctype:
        raise RpcError("malformed-message", "a document type is not allowed", "rpc")
    return root


def capabilities_of(hello: bytes) -> frozenset[str]:
    """What the other end can. Raises RpcError for what is no hello (8.1)."""
    root = parse_xml(hello)
    if root.tag != _nc("hello") or root.find(_nc("session-id")) is not None:
        raise RpcError("malformed-message", "a session begins with a client's hello", "rpc")
    return frozenset((each.text or "").strip() for each in root.iter(_nc("capability")))


def parse_rpc(octets: bytes) -> Rpc:
    """Raises RpcError."""
    root = parse_xml(octets)
    if root.tag != _nc("rpc"):
        raise RpcError("malformed-message", f"an rpc was expected, not {root.tag}", "rpc")
    attributes = {str(name): str(value) for name, value in root.attrib.items()}
    if "message-id" not in attributes:
        raise RpcError("missing-attribute", "message-id", "rpc",
                       info=(("bad-attribute", "message-id"), ("bad-element", "rpc")))  # fmt: skip
    children = list(root)
    if len(children) != 1:
        raise RpcError("malformed-message", "an rpc has one operation", "rpc")
    return Rpc(children[0], attributes)


def hello(session: int, modules: Iterable[str]) -> bytes:
    root = etree.Element(_nc("hello"), nsmap={None: NETCONF})
    capabilities = etree.SubElement(root, _nc("capabilities"))
    for each in (*CAPABILITIES, *modules):
        etree.SubElement(capabilities, _nc("capability")).text = each
    etree.SubElement(root, _nc("session-id")).text = str(session)
    return _document(root)


def ok(attributes: dict[str, str]) -> bytes:
    root = _reply(attributes)
    etree.SubElement(root, _nc("ok"))
    return _document(root)


def data(attributes: dict[str, str], content: Iterable[Element]) -> bytes:
    root = _reply(attributes)
    etree.SubElement(root, _nc("data")).extend(content)
    return _document(root)


def refusal(attributes: dict[str, str], error: RpcError) -> bytes:
    root = _reply(attributes)
    told = etree.SubElement(root, _nc("rpc-error"))
    parts = (("error-type", error.kind), ("error-tag", error.tag), ("error-severity", "error"),
             ("error-path", error.path), ("error-message", error.message))  # fmt: skip
    for name, text in parts:
        if text is not None:
            etree.SubElement(told, _nc(name)).text = _printable(text)
    if error.info:
        info = etree.SubElement(told, _nc("error-info"))
        for name, text in error.info:
            etree.SubElement(info, _nc(name)).text = text
    return _document(root)


def _printable(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(c if c.isprintable() else " " for c in text)


def _reply(attributes: dict[str, str]) -> Element:
    root = etree.Element(_nc("rpc-reply"), nsmap={None: NETCONF})
    for name, value in attributes.items():
        root.set(name, value)
    return root


def _document(root: Element) -> bytes:
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def _nc(name: str) -> str:
    return f"{{{NETCONF}}}{name}"
