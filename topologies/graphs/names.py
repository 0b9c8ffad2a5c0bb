"""Names of sites made of labels in any script: ASCII letters and digits, each once, none reserved."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from topologies.spec import RESERVED_NAMES, SITE_NAME_LENGTH

# Letters whose decomposition (NFKD) is not ASCII: Latin ones, then Greek and Cyrillic in the usual transliteration.
_WRITTEN = """
ß ss æ ae œ oe ø o ł l đ d ð d þ th ı i ŋ ng
α a β v γ g δ d ε e ζ z η i θ th ι i κ k λ l μ m ν n ξ x ο o π p ρ r σ s ς s τ t υ y φ f χ ch ψ ps ω o
а a б b в v г g д d е e ж zh з z и i й y к k л l м m н n о o п p р r с s т t у u ф f х kh ц ts ч ch ш sh щ shch
ы y э e ю yu я ya і i ј j є ie ђ dj љ lj њ nj ћ c џ dz ґ g
""".split()  # noqa: SIM905 - as a list it fills a page
_LETTERS = dict(zip(_WRITTEN[::2], _WRITTEN[1::2], strict=True)) | {"ъ": "", "ь": ""}


def slug(label: str) -> str:
    """The label in lower-case ASCII letters and digits, a letter first; empty if nothing of it can be written so."""
    written = []
    for character in label.casefold():
        if character in _LETTERS:
            written.append(_LETTERS[character])
            continue
        plain = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
        written.append("".join(_LETTERS.get(c, c) for c in plain))
    text = re.sub(r"[^a-z0-9]", "", "".join(written))
    if text[:1].isdigit():
        text = f"n{text}"
    return text[:SITE_NAME_LENGTH]


def site_names(labels: Iterable[str]) -> list[str]:
    """A name for each label, in order: what is the same or reserved gets a number, what cannot be written is siteN."""
    taken = set(RESERVED_NAMES)
    names = []
    for number, label in enumerate(labels, start=1):
        stem = slug(label) or f"site{number}"
        name, count = stem, 1
        while name in taken:
            count += 1
            name = f"{stem[: SITE_NAME_LENGTH - len(str(count))]}{count}"
        taken.add(name)
        names.append(name)
    return names
