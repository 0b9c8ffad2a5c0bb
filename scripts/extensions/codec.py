"""Values to JSON and back by their types, strictly: whatever is not of the type is refused with the place where. Pure.

A value of a union of classes carries the name of its class under ``is``.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

LONGEST_TEXT = 10_000
LONGEST_OCTETS = 10_000


class Malformed(ValueError):
    """A value that is not of the type asked for."""


def encode(kind: Any, value: Any, where: str = "value") -> Any:
    """``value`` as what JSON knows. Raises Malformed when it is no ``kind``."""
    return _coder(kind)(value, where, True)


def decode(kind: Any, raw: Any, where: str = "value") -> Any:
    """The value of type ``kind`` that ``raw`` is. Raises Malformed."""
    return _coder(kind)(raw, where, False)


Coder = Callable[[Any, str, bool], Any]


@cache
def _coder(kind: Any) -> Coder:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind))
    if get_origin(kind) in (Union, types.UnionType):
        return _union(get_args(kind))
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass(kind)
    raise TypeError(f"no way to encode {kind}")


def _text(value: Any, where: str, _is_encoding: bool) -> str:
    if type(value) is not str or len(value) > LONGEST_TEXT:
        raise Malformed(f"{where}: a text is wanted, not {_named(value)}")
    return value


def _whole(value: Any, where: str, _is_encoding: bool) -> int:
    if type(value) is not int:
        raise Malformed(f"{where}: a whole number is wanted, not {_named(value)}")
    return value


def _number(value: Any, where: str, _is_encoding: bool) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise Malformed(f"{where}: a finite number is wanted, not {_named(value)}")
    return float(value)


def _truth(value: Any, where: str, _is_encoding: bool) -> bool:
    if type(value) is not bool:
        raise Malformed(f"{where}: true or false is wanted, not {_named(value)}")
    return value


def _octets(value: Any, where: str, is_encoding: bool) -> Any:
    """As hexadecimal digits."""
    if is_encoding:
        if type(value) is not bytes or len(value) > LONGEST_OCTETS:
            raise Malformed(f"{where}: bytes are wanted, not {_named(value)}")
        return value.hex()
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise Malformed(f"{where}: hexadecimal digits are wanted, not {_named(value)}") from None


_PLAIN: dict[Any, Coder] = {str: _text, int: _whole, float: _number, bool: _truth, bytes: _octets}


def _named(value: Any) -> str:
    """Numbers as they are; never the words of a text, which may be a secret."""
    return f"{value!r:.60}" if isinstance(value, int | float) else f"a {type(value).__name__}"


def _tuple(members: tuple[Any, ...]) -> Coder:
    is_open = len(members) == 2 and members[1] is Ellipsis

    def code(value: Any, where: str, is_encoding: bool) -> Any:
        if not isinstance(value, tuple if is_encoding else list):
            raise Malformed(f"{where}: a tuple is wanted, not {_named(value)}")
        if not is_open and len(value) != len(members):
            raise Malformed(f"{where}: {len(members)} values are wanted, not {len(value)}")
        kinds = [members[0]] * len(value) if is_open else members
        pairs = enumerate(zip(kinds, value, strict=True))
        found = [_coder(kind)(one, f"{where}[{n}]", is_encoding) for n, (kind, one) in pairs]
        return found if is_encoding else tuple(found)

    return code


def _union(members: tuple[Any, ...]) -> Coder:
    is_optional = type(None) in members
    others = tuple(m for m in members if m is not type(None))
    by_name = {m.__name__: m for m in others}

    def code(value: Any, where: str, is_encoding: bool) -> Any:
        if value is None and is_optional:
            return None
        if len(others) == 1:
            return _coder(others[0])(value, where, is_encoding)
        if is_encoding:
            if type(value) not in others:
                raise Malformed(f"{where}: one of {', '.join(by_name)} is wanted, not {_named(value)}")
            kind: Any = type(value)
            return {"is": kind.__name__, "of": _coder(kind)(value, where, True)}
        if not isinstance(value, dict) or value.keys() != {"is", "of"} or value["is"] not in by_name:
            raise Malformed(f"{where}: one of {', '.join(by_name)} is wanted")
        return _coder(by_name[value["is"]])(value["of"], where, False)

    return code


def _dataclass(kind: type) -> Coder:
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    kinds = [hints[name] for name in names]

    def code(value: Any, where: str, is_encoding: bool) -> Any:
        if is_encoding:
            if type(value) is not kind:
                raise Malformed(f"{where}: a {kind.__name__} is wanted, not {_named(value)}")
            return {
                n: _coder(k)(getattr(value, n, None), f"{where}.{n}", True) for n, k in zip(names, kinds, strict=True)
            }
        if not isinstance(value, dict) or list(value) != names:
            raise Malformed(f"{where}: a {kind.__name__} has {', '.join(names)}")
        return kind(*(_coder(k)(value[n], f"{where}.{n}", False) for n, k in zip(names, kinds, strict=True)))

    return code
