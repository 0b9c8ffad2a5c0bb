"""``KIND=TARGET`` as it is written behind ``--use``: where the code of an extension is.

TARGET is ``MODULE:NAME``, ``./file.py:NAME``, ``builtin``, the short name of one that is shipped, or the name of an
entry point of the group ``qslice.KIND``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from scripts.extensions.errors import WrongUse
from scripts.extensions.protocols import Kind

BUILTIN = "builtin"
SHIPPED: dict[Kind, dict[str, str]] = {
    Kind.PCE: {
        BUILTIN: "controller.extending.builtin:BuiltinPce",
        "yen": "scripts.extensions.shipped.yen:YenPce",
    },
    Kind.HEALING: {
        BUILTIN: "controller.extending.builtin:BuiltinHealing",
        "lazy": "scripts.extensions.shipped.lazy_healing:LazyHealing",
    },
    Kind.SOURCE: {"etsi014-upstream": "scripts.extensions.shipped.etsi014_upstream:Etsi014Upstream"},
    Kind.SUITE: {"aes-256-gcm-siv": "scripts.extensions.shipped.aes_gcm_siv:AesGcmSiv"},
    Kind.QKD: {"ideal-link": "scripts.extensions.shipped.ideal_link:IdealLink"},
    Kind.FAULT: {"loss-delay": "scripts.extensions.shipped.loss_delay:LossDelay"},
    Kind.STEP: {},
    Kind.METRIC: {"longest-gap": "scripts.extensions.shipped.longest_gap:LongestGap"},
}
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Use:
    """An extension that somebody names. ``target`` is MODULE:NAME, or the absolute path of a file, and :NAME.

    Modules are looked for in ``folder`` too, if there is one: where whoever named it stood.
    """

    kind: Kind
    target: str
    folder: str | None = None

    def __str__(self) -> str:
        return f"{self.kind.value}={self.target}"


def parse_use(text: str, folder: Path) -> Use:
    """What ``text`` names, files as seen from ``folder``. Raises WrongUse; the code is not looked at."""
    word, equals, target = text.partition("=")
    kinds = {kind.value: kind for kind in Kind}
    if not equals or word not in kinds or not target:
        raise WrongUse(f"{text!r} is not KIND=MODULE:NAME or KIND=./file.py:NAME; KIND is one of {', '.join(kinds)}")
    kind = kinds[word]
    place, colon, name = target.rpartition(":")
    if not colon:
        return Use(kind, _short(kind, target), str(folder))
    if not name.isidentifier():
        raise WrongUse(f"{text!r}: {name!r} is no name of a class or an object")
    if place.endswith(".py") or "/" in place:
        path = (folder / place).absolute()
        if not path.is_file():
            raise WrongUse(f"{text!r}: there is no file {path}")
        return Use(kind, f"{path}:{name}", str(path.parent))
    if not _DOTTED.fullmatch(place):
        raise WrongUse(f"{text!r}: {place!r} is no name of a module; a file is written with its folder: ./{place}.py")
    return Use(kind, f"{place}:{name}", str(folder))


def placed(text: str, folder: Path) -> str:
    """``text`` with a file in it made absolute, as seen from ``folder``; anything else is left as it is."""
    word, equals, target = text.partition("=")
    place, colon, name = target.rpartition(":")
    if not equals or not colon or not (place.endswith(".py") or "/" in place):
        return text
    return f"{word}={folder / place}:{name}"


def _short(kind: Kind, name: str) -> str:
    known = short_names(kind)
    if name not in known:
        named = f"; there are {', '.join(sorted(known))}" if known else ""
        raise WrongUse(
            f"{kind.value}={name}: there is no such {kind.value}{named}; others are named MODULE:NAME or ./file.py:NAME"
        )
    return known[name]


def short_names(kind: Kind) -> dict[str, str]:
    """Short names with what they stand for: those shipped, and those of packages that are installed."""
    installed = {point.name: point.value for point in entry_points(group=f"qslice.{kind.value}")}
    return {**installed, **SHIPPED[kind]}
