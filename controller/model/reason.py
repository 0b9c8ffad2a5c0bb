"""Why a connection is DEGRADED, or is less than was asked for: a code for programs, a sentence for people. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum


class ReasonCode(Enum):
    """What kind of reason it is. Decisions look at this alone; the sentence is for reading."""

    UNEXPLAINED = "unexplained"  # no path satisfies it; the searches that say why have not been made yet
    NO_PATH = "no_path"  # no path satisfies it, and the sentence says why
    NO_PROTECTION = "no_protection"  # its path has failed, and it asked for no protection
    NO_BACKUP = "no_backup"  # it works, without the backup that it asked for
    BFD_SILENT = "bfd_silent"  # BFD calls its path down, the carrier is there, and there is no other path
    REFUSED = "refused"  # switches refused its rules, or did not confirm them
    NO_KEYS = "no_keys"  # no QKD key rate for it; the keys in store serve on
    KEYS_UNKNOWN = "keys_unknown"  # whether there is QKD key rate for it is not known yet
    UNCONFIRMED = "unconfirmed"  # it has a path and keys, and its probes have not passed yet
    PROBES_FAIL = "probes_fail"
    OTHER_KEYS = "other_keys"  # its tunnels do not have keys of its source in use
    FALLBACK = "fallback"  # it runs at a lower level, one that the request lists
    EXTENSION = "extension"  # an extension in force gave no answer that may be used, or waits
    EARLIER_VERSION = "earlier_version"  # read from a journal that knew no codes


@dataclass(frozen=True)
class Reason:
    """``detail`` is one sentence without a full stop; ``about`` names the channels or sites that it speaks of."""

    code: ReasonCode
    detail: str
    about: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.detail


def keys_unknown(sections: Collection[str]) -> Reason:
    """What these sections give is not known yet, and everything hangs on that."""
    named = tuple(sorted(sections))
    many = "sections" if len(named) > 1 else "section"
    return Reason(ReasonCode.KEYS_UNKNOWN, f"what QKD {many} {', '.join(named)} can give is not known yet", named)


UNEXPLAINED = Reason(ReasonCode.UNEXPLAINED, "no feasible path")
